"""One Prefect task, or a chain of two, for each of many cases; a bounded number of cases at a time."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from db.settings import LOCAL_CLUSTER, current_settings
from kits_core.errors import KitsError
from tasks.cancel import surviving_the_server
from tasks.isolated import WorkerDiedError
from tasks.progress import report_progress

T = TypeVar("T")

# `workers` (at most 64) is the limit, not threads: twice as many cases are under way, each with two tasks.
POOL = 256
_BAR_EVERY_S = 5.0


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The result of one item: an error, or the last task's result."""

    item: T
    error: BaseException | None
    result: Any


def threads() -> TaskRunner[PrefectFuture[Any]]:
    """The runner of a flow whose cases wait for a network: its connections are counted in one process."""
    return cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=POOL))


def task_runner() -> TaskRunner[PrefectFuture[Any]]:
    """The runner of a flow whose cases compute: a Dask cluster where `$KITS_DASK` says so, else threads.

    Raises `KitsError` where a cluster is asked for and `prefect-dask` is not installed.
    """
    dask = current_settings().dask
    if dask is None:
        return threads()
    try:
        from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise KitsError(
            f"KITS_DASK={dask}: expected prefect-dask to be installed, got none; pip install 'kits-platform[dask]'"
        ) from error
    if dask != LOCAL_CLUSTER:
        return cast("TaskRunner[PrefectFuture[Any]]", DaskTaskRunner(address=dask))
    # One case at a time in each process. Only clients with this cluster's own TLS keys can send it code.
    local = {"n_workers": os.cpu_count(), "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    return cast("TaskRunner[PrefectFuture[Any]]", DaskTaskRunner(cluster_kwargs=local | {"security": True}))


def fan_out(
    stage: str,
    items: Sequence[T],
    submit: Callable[[T], Sequence[PrefectFuture[Any]]],
    *,
    workers: int,
    name: Callable[[T], str] = str,
) -> list[Outcome[T]]:
    """Submit every item's tasks and wait for all. A failed item stops no other.

    `submit` returns the futures of an item's chain in order. On a Dask cluster `workers` is the number of its threads,
    where that is more. At most `workers` items are in their first task at once, and at most twice as many anywhere in
    their chain: the next scan is segmented while one is planned. A window instead of a map keeps the results of a
    thousand cases from waiting in memory, and the first cases from waiting for the last.
    """
    events: SimpleQueue[tuple[int, bool]] = SimpleQueue()
    chains: dict[int, Sequence[PrefectFuture[Any]]] = {}
    outcomes: dict[int, Outcome[T]] = {}
    past_first = 0
    waiting = iter(range(len(items)))
    workers = max(workers, _cluster_threads())
    report_progress(stage, 0, len(items))
    bar = _Bar(stage, len(items))
    while len(outcomes) < len(items):
        while (
            len(chains) - past_first < workers
            and len(chains) - len(outcomes) < 2 * workers
            and (index := next(waiting, None)) is not None
        ):
            chains[index] = submit(items[index])
            for future, is_last in ((chains[index][0], False), (chains[index][-1], True)):
                future.add_done_callback(partial(_put, events, index, is_last))
        index, is_last = events.get()
        if not is_last:
            past_first += 1
            continue
        outcomes[index] = _outcome(items[index], chains[index], name(items[index]))
        report_progress(stage, len(outcomes), len(items), name(items[index]))
        bar.show(len(outcomes))
    return [outcomes[index] for index in range(len(items))]


class _Bar:
    """The progress of a stage, as an artifact of the dashboard. A stage of a few seconds has none."""

    def __init__(self, stage: str, total: int) -> None:
        self._stage, self._total = stage, total
        self._artifact: UUID | None = None
        self._next = time.monotonic() + _BAR_EVERY_S

    def show(self, done: int) -> None:
        """Not after every case, because each update is a request."""
        if (time.monotonic() < self._next and done < self._total) or (done == self._total and self._artifact is None):
            return
        self._next = time.monotonic() + _BAR_EVERY_S
        percent, note = 100 * done / self._total, f"{self._stage}: {done} of {self._total} cases"
        with surviving_the_server():
            if self._artifact is None:
                made = create_progress_artifact(percent, key=f"{self._stage}-progress", description=note)
                self._artifact = cast("UUID", made)
            else:
                update_progress_artifact(self._artifact, percent, description=note)


def _cluster_threads() -> int:
    context = FlowRunContext.get()
    client = getattr(context.task_runner, "client", None) if context else None
    return sum(client.nthreads().values()) if client else 0


def _put(events: "SimpleQueue[tuple[int, bool]]", index: int, is_last: bool, _future: PrefectFuture[Any]) -> None:
    events.put((index, is_last))


def _outcome(item: T, chain: Sequence[PrefectFuture[Any]], name: str) -> Outcome[T]:
    for future in chain:
        future.wait()
        state = future.state
        if not state.is_final():
            return Outcome(item, WorkerDiedError(f"expected a worker to finish {name}, but several ended"), None)
        if not state.is_completed():
            error = state.result(raise_on_failure=False)
            return Outcome(item, error if isinstance(error, BaseException) else RuntimeError(str(state)), None)
    return Outcome(item, None, chain[-1].result())
