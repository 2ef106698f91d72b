"""Limits the downloads of all flow runs of a home together: set in Prefect's dashboard, held as locks in the home."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from prefect import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.logging import get_run_logger

from db.settings import current_settings
from kits_core.errors import KitsError
from tasks.turns import take_turns

DOWNLOADS = "kits-downloads"
"""Name of the global concurrency limit whose number says how many cases all flow runs together download at once."""

_AT_FIRST = 8
_LOOK_EVERY_S = 0.1


@contextmanager
def download_slots(wanted: int) -> Iterator[int]:
    """Hold up to `wanted` slots of the limit for the block, waiting for other flow runs. Yields the number of slots.

    Each slot is a lock in the home, which the operating system frees however its owner ends. Prefect's own slots stay
    taken for 60 s after their owner was killed. If there is no limit yet, one is made with 8 slots, or `wanted` if that
    is more. Later the number in the dashboard counts. Raises `KitsError` for a limit of 0, because the wait would never
    end.
    """
    if wanted < 1:
        yield 0
        return
    limit = _ensure_limit(max(_AT_FIRST, wanted))
    granted = min(wanted, limit)
    if granted < 1:
        raise KitsError(
            f"{DOWNLOADS}: expected a limit of at least 1 download at once, got {granted}; raise it in the dashboard "
            "under Concurrency, then run this again"
        )
    if granted < wanted:
        get_run_logger().warning(
            "%d downloads at once instead of %d: that is the limit %s for all flow runs together; raise it in the "
            "dashboard under Concurrency",
            granted,
            wanted,
            DOWNLOADS,
        )
    with _held(granted, limit):
        yield granted


def _ensure_limit(slots: int) -> int:
    with get_client(sync_client=True) as client:
        try:
            return client.read_global_concurrency_limit_by_name(DOWNLOADS).limit
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):  # two runs may make it at once
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=DOWNLOADS, limit=slots))
        return client.read_global_concurrency_limit_by_name(DOWNLOADS).limit


@contextmanager
def _held(slots: int, limit: int) -> Iterator[None]:
    """Hold `slots` of the home's first `limit` locks: first come, first served."""
    folder = current_settings().locks / DOWNLOADS
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        free = [folder / f"{place}.lock" for place in range(limit)]
        with take_turns(DOWNLOADS, "waits for its downloads"):
            while len(free) > limit - slots:
                for path in free[:]:
                    if len(free) > limit - slots and (lock := _taken(path)):
                        held.enter_context(lock)
                        free.remove(path)
                time.sleep(_LOOK_EVERY_S if len(free) > limit - slots else 0)
        yield


def _taken(path: Path) -> IO[str] | None:
    """A file whose lock this process now holds; None where another one holds it."""
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
