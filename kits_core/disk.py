"""Room on a disk: checked before work begins. Some of it always stays free.

The catalog, Prefect's own database and the logs often lie on the same disk. On a full disk they lose states, and errors
cannot be noted in them.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kits_core.errors import KitsError

RESERVE_BYTES = 200_000_000
"""Results leave this much free for databases and logs."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_UNITS = ("bytes", "kB", "MB", "GB")


class FullDiskError(KitsError):
    """A disk has no room for what is to be written. Once there is room, the same call goes on."""


def readable(size: float) -> str:
    """A number of bytes as people write it: `12 MB`, `3.4 GB`, `16,007 GB`."""
    power = next((power for power in range(4) if abs(size) < 1000 ** (power + 1)), 3)
    value = size / 1000**power
    return f"{value:,.0f} {_UNITS[power]}" if abs(value) >= 10 or power == 0 else f"{value:.1f} {_UNITS[power]}"


def free_bytes(folder: Path) -> int:
    """What is free for this user on the disk of a folder, which need not be there yet."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free


def check_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise `FullDiskError` where `needed_bytes` for `what` would take a disk's last `RESERVE_BYTES`."""
    free, size = free_bytes(folder), f" ({readable(needed_bytes)})" if needed_bytes else ""
    if needed_bytes + RESERVE_BYTES > free:
        raise FullDiskError(
            f"{folder}: expected room for {what}{size} beside {readable(RESERVE_BYTES)} that stay "
            f"free for databases and logs, got {readable(free)} free; make room there, or move the home (KITS_HOME) to "
            "a larger disk, and run this again: it goes on from here"
        )


@contextmanager
def naming_a_full_disk(folder: Path, what: str) -> Iterator[None]:
    """Raise `FullDiskError` where the block fails because a disk is full, or a quota is used up."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise FullDiskError(
            f"{error.filename or folder}: expected room for {what}, got: {error.strerror}, with "
            f"{readable(free_bytes(folder))} free; make room there, and run this again: it goes on from here"
        ) from error
