"""Runs calls in separate processes: on all cores, with a measured peak of memory. A crash does not end the flow.

Kept free of Prefect and the catalog, because every worker process imports it.
"""

import os
import resource
import sys
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path
from threading import Lock
from typing import Any, Generic, TypeVar

from loky import ProcessPoolExecutor

from kits_core.orphans import end_with_parent

T = TypeVar("T")

_IDLE_S = 30
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


# Not loky's reusable executor: each thread has its own, so with one thread a case all cases ran at once.
_executors: dict[int, ProcessPoolExecutor] = {}
_lock = Lock()


def _begin_anew() -> None:
    """In a forked process: the workers belong to the parent, which may have held the lock."""
    global _lock  # noqa: PLW0603
    _lock = Lock()
    _executors.clear()


os.register_at_fork(after_in_child=_begin_anew)


class WorkerDiedError(RuntimeError):
    """A worker process ended during a call. This is no refusal: the call may be tried again."""


@dataclass(frozen=True)
class Isolated(Generic[T]):
    """The result of a call, and the peak memory of its process during it, in bytes."""

    result: T
    peak_bytes: int


def run_isolated(workers: int, function: Callable[..., T], *args: Any) -> Isolated[T]:
    """Call `function(*args)` in one of `workers` processes, which are kept for the next calls, and wait for it.

    All threads share these processes. A process that may have no children, such as a Dask cluster's worker, calls the
    function itself.

    Raises what the function raised, and `WorkerDiedError` where a worker process died. That breaks the calls beside it
    too; the next call starts new processes.
    """
    if current_process().daemon:
        return _measured(function, args)
    try:
        return _submit(workers, function, args).result()
    except BrokenProcessPool as error:
        raise WorkerDiedError(
            f"expected a worker process to finish, but it ended ({error}); most often memory ran out: lower the workers"
        ) from error


def _submit(workers: int, function: Callable[..., T], args: tuple[Any, ...]) -> Future[Isolated[T]]:
    with _lock:
        if workers in _executors:
            with suppress(BrokenProcessPool):
                return _executors[workers].submit(_measured, function, args)
        _executors[workers] = ProcessPoolExecutor(
            workers, timeout=_IDLE_S, env=_ONE_THREAD, initializer=end_with_parent
        )
        return _executors[workers].submit(_measured, function, args)


def _measured(function: Callable[..., T], args: tuple[Any, ...]) -> Isolated[T]:
    _forget_peak()
    return Isolated(function(*args), _peak_bytes())


def _forget_peak() -> None:
    """Reset the process's peak of memory. Where the system cannot, it stays the peak of all calls until now."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return


def _peak_bytes() -> int:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
