"""A file as it arrives: what is there can be read while the rest is on its way."""

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Condition
from typing import TypeVar

_READ_AT_ONCE = 1 << 20

T = TypeVar("T")
R = TypeVar("R")


class BrokenOffError(Exception):
    """The bytes that were read are not the start of the file: its download failed, or began again."""


class Growing:
    """What a download has brought of `target` until now. To a reader in another thread it is a path that it opens.

    A reader waits for bytes that have not come yet. It sees the file's end only once the download is `finished`, which
    means that length and hash are right.
    """

    def __init__(self, target: Path) -> None:
        self.name, self.parts = target.name, target.parts
        self._changed = Condition()
        self._descriptor: int | None = None
        self._bytes, self._version = 0, 0
        self._finished, self._over = False, False

    def begin(self, partial: Path, size: int) -> None:
        """The download writes to `partial`, and its first `size` bytes are there. Earlier reads are void."""
        with self._changed:
            self._version += self._bytes > 0
            self._let_go()
            self._descriptor, self._bytes = os.open(partial, os.O_RDONLY | os.O_CLOEXEC), size
            self._changed.notify_all()

    def grew(self, size: int) -> None:
        """The first `size` bytes are written."""
        with self._changed:
            self._bytes = size
            self._changed.notify_all()

    def end(self, *, finished: bool) -> None:
        """No more bytes will come. Only the first call counts."""
        with self._changed:
            if not self._over:
                self._finished, self._over = finished, True
            self._changed.notify_all()

    def close(self) -> None:
        """Let the file go, once nobody reads it any more."""
        with self._changed:
            self._let_go()

    def open(self, _mode: str = "rb") -> io.BufferedReader:
        """A stream of the file from its start, for one reader. Reading raises `BrokenOffError` when it is void."""
        return io.BufferedReader(_Stream(self, self._version), _READ_AT_ONCE)

    def read_into(self, buffer: memoryview, position: int, version: int) -> int:
        """Fill `buffer` from `position` with what is there, at least one byte; 0 at the end of the finished file."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != version or self._bytes > position or self._over)
            if self._version != version or (self._over and not self._finished) or self._descriptor is None:
                raise BrokenOffError(self.name)
            there = self._bytes - position
            if there <= 0:
                return 0
            read = os.preadv(self._descriptor, [buffer[:there]], position)
        if not read:
            # A restarted download has truncated the file and has not reported it yet.
            raise BrokenOffError(self.name)
        return read

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class _Stream(io.RawIOBase):
    def __init__(self, growing: Growing, version: int) -> None:
        self._growing, self._version = growing, version
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._growing.read_into(memoryview(buffer), self._position, self._version)
        self._position += count
        return count


def read_on_arrival(target: Path, fetch: Callable[[Growing], T], read: Callable[[Growing], R]) -> tuple[T, R | None]:
    """Bring a file to `target` with `fetch`, while another thread reads it with `read`; what both returned.

    The second is None if reading failed for any reason: the caller then reads the file at `target` again. Raises what
    `fetch` raises.
    """
    growing = Growing(target)
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="arriving") as beside:
            reading = beside.submit(read, growing)
            try:
                fetched = fetch(growing)
                growing.end(finished=True)
            finally:
                growing.end(finished=False)
        return fetched, None if reading.exception() else reading.result()
    finally:
        growing.close()
