"""One download: its `.partial` file, the sidecar with its ETag, and writing the bytes of one answer."""

import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

from kits_core.files import PARTIAL_SUFFIX
from kits_core.source.growing import Growing
from kits_core.source.http import Answer, TransferError, check_status, whole
from kits_core.source.pace import Pace, StallWatch

_HASHED_AT_ONCE = 1 << 20
_TOLD_EVERY_BYTES = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")


@dataclass(frozen=True)
class _Guard:
    """What the sidecar says about the bytes of a `.partial`."""

    url: str
    etag: str


def partial_file(target: Path) -> Path:
    """Where a file lies while it is downloaded."""
    return target.with_name(f"{target.name}{PARTIAL_SUFFIX}")


def guard_file(target: Path) -> Path:
    """Path of the sidecar for a download. A kill just after the last byte leaves it there."""
    return target.with_name(f"{partial_file(target).name}.json")


class Download:
    """The `.partial` of a target, its sidecar, and the hash of what is in it."""

    def __init__(self, url: str, file: BinaryIO, partial: Path, sidecar: Path, growing: Growing | None) -> None:
        self.url = url
        self._file, self._partial, self._sidecar, self._growing = file, partial, sidecar, growing
        self._digest = hashlib.sha256()
        self.bytes = 0
        self._guarded = False
        self._had, self._told = 0, 0

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of what is there."""
        return self._digest.hexdigest()

    @property
    def progressed(self) -> bool:
        """Whether there is more than at the start, and it can be resumed."""
        return self._guarded and self.bytes > self._had

    def resume(self) -> str | None:
        """Use the bytes that are already there. Returns their ETag, or None for a fresh start."""
        try:
            known = _Guard(**json.loads(self._sidecar.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            known = None
        self._file.seek(0)
        if known is not None and known.url == self.url and known.etag:
            while chunk := self._file.read(_HASHED_AT_ONCE):
                self._count(chunk)
        if known is None or not self.bytes:
            self._restart()
            return None
        self._guarded, self._had = True, self.bytes
        self._tell_begin()
        return known.etag

    def forget(self) -> None:
        """Delete the bytes: the next attempt cannot use them."""
        self._restart()
        self._guarded = False
        self._sidecar.unlink(missing_ok=True)

    def add(self, chunk: bytes) -> None:
        """Append."""
        self._file.write(chunk)
        self._count(chunk)
        if self._growing is not None and self.bytes - self._told >= _TOLD_EVERY_BYTES:
            self._tell_growth(self._growing)

    def finish(self, target: Path) -> None:
        """Give what is there its final name.

        That survives a kill. A power cut may leave a file with holes, which its checksum shows when it is read; forcing
        every archive to the disk, where it is deleted again a moment later, would double what is written.
        """
        self._file.flush()
        if self._growing is not None:
            self._tell_growth(self._growing)
        self._partial.replace(target)
        self._sidecar.unlink(missing_ok=True)

    def receive(self, answer: Answer, guard: str | None, pace: Pace, watch: StallWatch) -> None:
        """Append the body to the bytes that are there, or replace them. The file is complete when this returns."""
        response = answer.response
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and guard:
            self._finished_or_restart(response, guard)
            return
        check_status(self.url, response)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise TransferError(
                self.url, "a web page came instead of the file", retryable=True, status=response.status_code
            )
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise TransferError(self.url, "the server compresses what must come as it is", retryable=False)
        total = self._place(response, guard) or answer.linked_size
        asked_at = time.monotonic()
        # Without a fixed size the pieces come as they arrive, so that a very slow transfer is noticed.
        for chunk in response.iter_raw():
            if watch.stalled(time.monotonic() - asked_at, len(chunk)):
                raise TransferError(self.url, "the connection has almost stalled", retryable=True)
            self.add(chunk)
            if total is not None and self.bytes > total:
                break
            pace.take(len(chunk))
            asked_at = time.monotonic()
        if total is not None and self.bytes != total:
            got = f"more than {total}" if self.bytes > total else str(self.bytes)
            if self.bytes > total:
                self.forget()
            raise TransferError(self.url, f"expected {total} bytes, got {got}", retryable=True)

    def _place(self, response: httpx.Response, guard: str | None) -> int | None:
        """Move to where this response's body starts. Returns the whole file's size if the response states it."""
        length = whole(response.headers.get("Content-Length"))
        if response.status_code == httpx.codes.PARTIAL_CONTENT:
            if response.headers.get("ETag") != guard:
                # Some hosts ignore If-Range: parts of two versions must not be joined (RFC 9110, 15.3.7.3).
                self.forget()
                raise TransferError(self.url, "the file changed between two attempts", retryable=True)
            found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != self.bytes:
                self.forget()
                raise TransferError(self.url, "the server sent another range than asked for", retryable=True)
            if found[2] != "*":
                return int(found[2])
            return None if length is None else self.bytes + length
        self._restart()
        self._begin(response.headers.get("ETag"))
        return length

    def _finished_or_restart(self, response: httpx.Response, guard: str) -> None:
        """416 after a resume: either nothing was missing any more, or the file shrank."""
        size = response.headers.get("Content-Range", "").removeprefix("bytes */")
        if response.headers.get("ETag") != guard or size != str(self.bytes):
            self.forget()
            raise TransferError(self.url, "the file changed between two attempts", retryable=True)

    def _begin(self, etag: str | None) -> None:
        """Write the ETag before the first byte: bytes without one are never resumed. Weak ETags are not enough."""
        self._guarded = etag is not None and not etag.startswith("W/")
        if etag is not None and self._guarded:
            self._sidecar.write_text(json.dumps(asdict(_Guard(self.url, etag))), encoding="utf-8")
        else:
            self._sidecar.unlink(missing_ok=True)

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest, self.bytes, self._had = hashlib.sha256(), 0, 0
        self._tell_begin()

    def _tell_begin(self) -> None:
        if self._growing is not None:
            self._growing.begin(self._partial, self.bytes)
            self._told = self.bytes

    def _tell_growth(self, growing: Growing) -> None:
        self._file.flush()
        growing.grew(self.bytes)
        self._told = self.bytes

    def _count(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.bytes += len(chunk)


@contextmanager
def open_download(url: str, target: Path, growing: Growing | None = None) -> Iterator[Download]:
    """The download of `url` to `target`, held by this process alone. The lock dies with the process.

    `growing` is told how many bytes have arrived. Raises `TransferError` where another process holds it.
    """
    partial = partial_file(target)
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TransferError(url, f"another download writes to {partial.name}", retryable=True) from error
        # A winner may have renamed the file between our open and our lock: then we hold what is now the finished one.
        if not _same_file(descriptor, partial):
            raise TransferError(url, f"another download has just finished {partial.name}", retryable=True)
        yield Download(url, file, partial, guard_file(target), growing)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False
