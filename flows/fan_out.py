"""One Prefect task, or a chain of them, for each of many cases; a bounded number of cases at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.progress import report_progress

T = TypeVar("T")

# Threads are not the limit, `workers` is; a case whose second task waits for its first holds two.
POOL = 160


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """How one item ended: with an error, or with the last task's result."""

    item: T
    error: BaseException | None
    result: Any


def task_runner() -> TaskRunner[PrefectFuture[Any]]:
    """The runner of every flow that fans out."""
    return cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=POOL))


def fan_out(
    stage: str,
    items: Sequence[T],
    submit: Callable[[T], Sequence[PrefectFuture[Any]]],
    *,
    workers: int,
    name: Callable[[T], str] = str,
) -> list[Outcome[T]]:
    """Submit every item's tasks, at most `workers` items at once, and wait for all. A failed item stops no other.

    `submit` returns the futures of an item's chain in order. A window instead of a map keeps the results of a thousand
    cases from waiting in memory and the first cases from waiting for the last.
    """
    finished: SimpleQueue[int] = SimpleQueue()
    chains: dict[int, Sequence[PrefectFuture[Any]]] = {}
    outcomes: dict[int, Outcome[T]] = {}
    waiting = iter(range(len(items)))
    report_progress(stage, 0, len(items))
    while len(outcomes) < len(items):
        while len(chains) - len(outcomes) < workers and (index := next(waiting, None)) is not None:
            chains[index] = submit(items[index])
            chains[index][-1].add_done_callback(partial(_put, finished, index))
        index = finished.get()
        outcomes[index] = _outcome(items[index], chains[index])
        report_progress(stage, len(outcomes), len(items), name(items[index]))
    return [outcomes[index] for index in range(len(items))]


def _put(finished: "SimpleQueue[int]", index: int, _future: PrefectFuture[Any]) -> None:
    finished.put(index)


def _outcome(item: T, chain: Sequence[PrefectFuture[Any]]) -> Outcome[T]:
    for future in chain:
        future.wait()
        if not future.state.is_completed():
            error = future.state.result(raise_on_failure=False)
            return Outcome(item, error if isinstance(error, BaseException) else RuntimeError(str(future.state)), None)
    return Outcome(item, None, chain[-1].result())
