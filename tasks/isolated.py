"""Calls in processes of their own: on all cores, each with its own peak of memory, and none can take the flow with it.

Kept free of Prefect and the catalog, because every worker process imports it.
"""

import resource
import sys
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path
from typing import Any, Generic, TypeVar

from loky import get_reusable_executor

from kits_core.orphans import end_with_parent

T = TypeVar("T")

_IDLE_S = 30
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class WorkerDiedError(RuntimeError):
    """A worker process ended while it worked. Not a refusal: the call may be tried again."""


@dataclass(frozen=True)
class Isolated(Generic[T]):
    """What a call returned, and the most memory that its process held in the meantime, in bytes."""

    result: T
    peak_bytes: int


def run_isolated(workers: int, function: Callable[..., T], *args: Any) -> Isolated[T]:
    """Call `function(*args)` in one of `workers` processes, which are kept for the next calls, and wait for it.

    A process that may have no children, as a Dask cluster's worker, is such a process itself: it calls the function.

    Raises what the function raised, and `WorkerDiedError` where a worker process died. That breaks the calls beside it
    too; the next call starts new processes.
    """
    if current_process().daemon:
        return _measured(function, args)
    executor = get_reusable_executor(max_workers=workers, timeout=_IDLE_S, env=_ONE_THREAD, initializer=end_with_parent)
    try:
        return executor.submit(_measured, function, args).result()
    except BrokenProcessPool as error:
        raise WorkerDiedError(
            f"expected a worker process to finish, got its end ({error}); most often memory ran out: lower the workers"
        ) from error


def _measured(function: Callable[..., T], args: tuple[Any, ...]) -> Isolated[T]:
    _forget_peak()
    return Isolated(function(*args), _peak_bytes())


def _forget_peak() -> None:
    """Start the process's peak anew; where the system cannot, it stays the largest of all calls until now."""
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
