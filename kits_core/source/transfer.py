"""One file, fetched whole or not at all: streamed, hashed on the way, resumed where it broke off."""

import errno
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import httpx

from kits_core.files import PARTIAL_SUFFIX, sync_folder, written_aside
from kits_core.source.http import Answer, TransferError, ask, check_status, open_client

__all__ = ["Fetched", "TransferError", "fetch", "get_text", "open_client"]

_CHUNK_BYTES = 1 << 18
_MAX_TEXT_BYTES = 64 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Addressed(Protocol):
    """Anything with an address and, perhaps, a stated SHA-256."""

    @property
    def address(self) -> str:
        """URL or path."""

    @property
    def sha256(self) -> str | None:
        """What the source states."""


@dataclass(frozen=True)
class Fetched:
    """A file that arrived. `url`: what was asked for; `etag`, `last_modified`: to ask later whether it changed."""

    bytes: int
    sha256: str
    etag: str | None
    last_modified: str | None
    url: str


@dataclass(frozen=True)
class _Resume:
    """What the sidecar of a `.partial` says of the bytes in it."""

    url: str
    etag: str


class _Download:
    """The `.partial` of a target, its sidecar, and the hash of what is in it."""

    def __init__(self, url: str, file: BinaryIO, sidecar: Path) -> None:
        self.url, self.file, self.sidecar = url, file, sidecar
        self.digest = hashlib.sha256()
        self.bytes = 0

    def resume(self) -> str | None:
        """Take over the bytes that are there; the ETag that guards them, or None for a fresh start."""
        try:
            known = _Resume(**json.loads(self.sidecar.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            known = None
        self.file.seek(0)
        if known is not None and known.url == self.url and known.etag:
            while chunk := self.file.read(_CHUNK_BYTES):
                self._count(chunk)
        if known is None or not self.bytes:
            self.restart()
            return None
        return known.etag

    def restart(self) -> None:
        """Forget what is there."""
        self.file.seek(0)
        self.file.truncate()
        self.digest, self.bytes = hashlib.sha256(), 0

    def begin(self, etag: str | None) -> None:
        """Note the guard before the first byte: bytes without one are never resumed. Weak ETags do not guard bytes."""
        if etag is None or etag.startswith("W/"):
            self.sidecar.unlink(missing_ok=True)
        else:
            self.sidecar.write_text(json.dumps(asdict(_Resume(self.url, etag))), encoding="utf-8")

    def add(self, chunk: bytes) -> None:
        """Append."""
        self.file.write(chunk)
        self._count(chunk)

    def _count(self, chunk: bytes) -> None:
        self.digest.update(chunk)
        self.bytes += len(chunk)


def fetch(
    location: Addressed | str,
    target: Path,
    *,
    client: httpx.Client | None = None,
    expected_sha256: str | None = None,
    on_bytes: Callable[[int], None] | None = None,
) -> Fetched:
    """Bring the file at `location` (URL or path) to `target`, and return its facts.

    Bytes go to `target.partial`, are hashed on the way, compared with the length and the SHA-256 that are known
    (`expected_sha256`, else the location's, else a 64-hex `X-Linked-ETag`), fsynced and renamed. What a
    broken download left is resumed by a range guarded by If-Range. `on_bytes` is told the size of each piece, resumed
    bytes included. Raises `TransferError`, which says whether a retry makes sense.
    """
    address = location if isinstance(location, str) else location.address
    expected = expected_sha256 or (None if isinstance(location, str) else location.sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    report = on_bytes or _ignore
    with _disk_errors(address):
        if not address.startswith(("http://", "https://")):
            return _copy(Path(address), target, expected, report)
        if client is not None:
            return _download(client, address, target, expected, report)
        with open_client() as own:
            return _download(own, address, target, expected, report)


def get_text(url: str, *, client: httpx.Client | None = None) -> str:
    """A small text file over HTTP, in UTF-8. Raises `TransferError`, also for more than 64 MiB or another encoding."""
    if client is None:
        with open_client() as own:
            return get_text(url, client=own)
    with ask(client, url, {}) as answer:
        check_status(url, answer.response)
        body = bytearray()
        for chunk in answer.response.iter_raw(_CHUNK_BYTES):
            body += chunk
            if len(body) > _MAX_TEXT_BYTES:
                raise TransferError(url, f"more than {_MAX_TEXT_BYTES} bytes of text", retryable=False)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TransferError(url, f"expected text in UTF-8: {error}", retryable=False) from error


def _copy(source: Path, target: Path, expected: str | None, report: Callable[[int], None]) -> Fetched:
    digest, size = hashlib.sha256(), 0
    try:
        opened = source.open("rb")
    except OSError as error:
        raise TransferError(str(source), f"cannot be read: {error.strerror}", retryable=False) from error
    with opened, written_aside(target) as aside:
        facts = os.fstat(opened.fileno())
        with aside.open("wb") as file:
            while chunk := opened.read(_CHUNK_BYTES):
                file.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                report(len(chunk))
        _check_hash(str(source), expected, digest.hexdigest(), retryable=False)
    return Fetched(size, digest.hexdigest(), None, formatdate(facts.st_mtime, usegmt=True), str(source))


def _download(
    client: httpx.Client, url: str, target: Path, expected: str | None, report: Callable[[int], None]
) -> Fetched:
    partial = target.with_name(target.name + PARTIAL_SUFFIX)
    sidecar = target.with_name(f"{target.name}{PARTIAL_SUFFIX}.json")
    with _locked(partial, url) as file:
        download = _Download(url, file, sidecar)
        guard = download.resume()
        headers = {"Range": f"bytes={download.bytes}-", "If-Range": guard} if guard else {}
        with ask(client, url, headers) as answer:
            _receive(download, answer, guard, report)
            etag, modified = answer.response.headers.get("ETag"), answer.response.headers.get("Last-Modified")
        stated = expected or _stated_sha256(answer.linked_etag)
        found = download.digest.hexdigest()
        try:
            _check_hash(url, stated, found, retryable=True)
        except TransferError:
            download.restart()  # wrong bytes are no start for the next attempt
            sidecar.unlink(missing_ok=True)
            raise
        file.flush()
        os.fsync(file.fileno())
        partial.replace(target)
        sidecar.unlink(missing_ok=True)
    sync_folder(target.parent)
    return Fetched(download.bytes, found, answer.linked_etag or etag, modified, url)


def _receive(download: _Download, answer: Answer, guard: str | None, report: Callable[[int], None]) -> None:
    """Write the body behind, or in place of, what is there; the file is complete when this returns."""
    response, url = answer.response, download.url
    if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE and guard:
        _finish_or_restart(download, response, guard)
        report(download.bytes)
        return
    check_status(url, response)
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise TransferError(url, "a web page came instead of the file", retryable=True, status=response.status_code)
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise TransferError(url, "the server compresses what must come as it is", retryable=False)
    total = _place(download, response) or answer.linked_size
    report(download.bytes)
    for chunk in response.iter_raw(_CHUNK_BYTES):
        download.add(chunk)
        report(len(chunk))
    if total is not None and download.bytes != total:
        raise TransferError(url, f"expected {total} bytes, got {download.bytes}", retryable=True)


def _place(download: _Download, response: httpx.Response) -> int | None:
    """Set the download to where this response's body starts; returns the whole file's size if the response tells it."""
    length = response.headers.get("Content-Length", "")
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != download.bytes:
            download.restart()
            raise TransferError(download.url, "the server sent another range than asked for", retryable=True)
        if found[2] != "*":
            return int(found[2])
        return download.bytes + int(length) if length.isdecimal() else None
    download.restart()
    download.begin(response.headers.get("ETag"))
    return int(length) if length.isdecimal() else None


def _finish_or_restart(download: _Download, response: httpx.Response, guard: str) -> None:
    """416 after a resume: either nothing was missing any more, or the file shrank."""
    size = response.headers.get("Content-Range", "").removeprefix("bytes */")
    if response.headers.get("ETag") != guard or size != str(download.bytes):
        download.restart()
        raise TransferError(download.url, "the file changed between two attempts", retryable=True)


def _check_hash(address: str, expected: str | None, found: str, *, retryable: bool) -> None:
    if expected is not None and expected.lower() != found:
        raise TransferError(address, f"expected SHA-256 {expected.lower()}, got {found}", retryable=retryable)


def _stated_sha256(etag: str | None) -> str | None:
    """The SHA-256 that an `X-Linked-ETag` of 64 hexadecimal digits is.

    A plain ETag of that form is not trusted: GitHub and chunked stores put the hash of something else there.
    """
    bare = (etag or "").strip('"').lower()
    return bare if _SHA256.fullmatch(bare) else None


@contextmanager
def _locked(partial: Path, url: str) -> Iterator[BinaryIO]:
    """The `.partial`, open for reading and writing, held by this process alone. The lock dies with the process."""
    descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(descriptor, "r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TransferError(url, f"another download writes to {partial.name}", retryable=True) from error
        # A winner may have renamed the file between our open and our lock: then we hold what is now the finished one.
        if not _same_file(descriptor, partial):
            raise TransferError(url, f"another download has just finished {partial.name}", retryable=True)
        yield file


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


@contextmanager
def _disk_errors(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise TransferError(address, f"no room to write it: {error.strerror}", retryable=False) from error
        raise


def _ignore(_size: int) -> Any:
    """Nobody asked for progress."""
