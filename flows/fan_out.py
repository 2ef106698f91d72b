"""One Prefect task, or a chain of two, for each of many cases; a bounded number of cases at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from prefect.futures import PrefectFuture
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from tasks.progress import report_progress

T = TypeVar("T")

# Threads are not the limit, `workers` (at most 64) is: twice as many cases are under way, each with two tasks.
POOL = 256


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
    """Submit every item's tasks and wait for all. A failed item stops no other.

    `submit` returns the futures of an item's chain in order. At most `workers` items are in their first task at once,
    and at most twice as many anywhere in their chain: the next download starts when one has ended, while that one is
    converted. A window instead of a map keeps the results of a thousand cases from waiting in memory, and the first
    cases from waiting for the last.
    """
    events: SimpleQueue[tuple[int, bool]] = SimpleQueue()
    chains: dict[int, Sequence[PrefectFuture[Any]]] = {}
    outcomes: dict[int, Outcome[T]] = {}
    past_first = 0
    waiting = iter(range(len(items)))
    report_progress(stage, 0, len(items))
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
        outcomes[index] = _outcome(items[index], chains[index])
        report_progress(stage, len(outcomes), len(items), name(items[index]))
    return [outcomes[index] for index in range(len(items))]


def _put(events: "SimpleQueue[tuple[int, bool]]", index: int, is_last: bool, _future: PrefectFuture[Any]) -> None:
    events.put((index, is_last))


def _outcome(item: T, chain: Sequence[PrefectFuture[Any]]) -> Outcome[T]:
    for future in chain:
        future.wait()
        if not future.state.is_completed():
            error = future.state.result(raise_on_failure=False)
            return Outcome(item, error if isinstance(error, BaseException) else RuntimeError(str(future.state)), None)
    return Outcome(item, None, chain[-1].result())
