"""Fetches files and texts from a source: whole or not at all, with useful retries, and no faster than allowed."""

import errno
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from threading import BoundedSemaphore
from types import TracebackType
from typing import Protocol, Self, TypeVar

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception

from kits_core.source.download import open_download
from kits_core.source.growing import Growing
from kits_core.source.http import Answer, TransferError, ask, check_status, redacted
from kits_core.source.pace import Pace, StallWatch
from kits_core.source.probe import Known, Probe, conditions, probe_file, read_answer, says_enough, stamp
from kits_core.source.text import decode

__all__ = ["Fetched", "Known", "Probe", "Transfer", "TransferError", "TransferPolicy", "redacted"]

_CHUNK_BYTES = 1 << 20
_MAX_TEXT_BYTES = 64 << 20
_LONGEST_RETRY_AFTER_S = 600.0
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

T = TypeVar("T")
OnRetry = Callable[[TransferError, float], None]


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
    """A file that arrived. `url`: what was asked for, redacted; `etag`, `last_modified`: to ask later if it changed.

    `notes`: what of it a reader should know, for people.
    """

    bytes: int
    sha256: str
    etag: str | None
    last_modified: str | None
    url: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TransferPolicy:
    """Limits and time-outs for a source. Times in seconds.

    `connections`: how many files come at once. `read_s`: the longest silence; a download that brings less than
    `least_bytes_per_s` over `stall_window_s` is broken off. `attempts`: how many in a row without progress; an attempt
    that brought usable bytes starts the count again. `bytes_per_s`: cap over all downloads together; None sets none.
    """

    connections: int = 8
    connect_s: float = 10.0
    read_s: float = 30.0
    stall_window_s: float = 30.0
    least_bytes_per_s: float = 1024.0
    attempts: int = 6
    backoff_s: float = 1.0
    longest_backoff_s: float = 60.0
    bytes_per_s: float | None = None


class _DoubtedError(TransferError):
    """The content's hash differs from an ETag that looks like a hash. Only a second download shows which is wrong."""

    def __init__(self, address: str, expected: str, found: str) -> None:
        super().__init__(address, f"expected SHA-256 {expected}, got {found}", retryable=True, wrong_bytes=True)
        self.found = found


class Transfer:
    """A client for many files, shared by the threads of a process. Close it, or use it as a context manager.

    `bearer`: tokens by host (with its port, if the address names one). Proxies come from the environment.
    """

    def __init__(self, policy: TransferPolicy | None = None, *, bearer: Mapping[str, str] | None = None) -> None:
        self._policy = policy = policy or TransferPolicy()
        self._bearer = dict(bearer or {})
        self._pace = Pace(policy.bytes_per_s)
        self._copies = BoundedSemaphore(policy.connections)
        self._client = httpx.Client(
            timeout=httpx.Timeout(policy.read_s, connect=policy.connect_s, pool=None),
            limits=httpx.Limits(max_connections=policy.connections, max_keepalive_connections=policy.connections),
            headers={"User-Agent": "kits-platform"},
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._client.close()

    def fetch(
        self,
        location: Addressed | str,
        target: Path,
        *,
        growing: Growing | None = None,
        on_retry: OnRetry | None = None,
    ) -> Fetched:
        """Bring the file at `location` (URL or path) to `target`, and return its facts.

        Bytes go to `target.partial`, are hashed on the way, compared with the length and the SHA-256 that are known,
        and renamed. A broken download is resumed by a range request with If-Range. The SHA-256 is the location's, or an
        `X-Linked-ETag` of 64 hexadecimal digits. A plain ETag of that form is a claim, because some hosts put another
        hash there: a file that does not match it is fetched again, and accepted if the second download is the same as
        the first. `on_retry` is called with an error and the seconds until the next attempt; `growing` is told how many
        bytes have arrived. Raises `TransferError` when retries do not help.
        """
        address, expected = _parts(location)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not _is_url(address):
            with self._copies, _disk_errors(address):
                return self._retried(lambda: _copy(Path(address), target, expected, growing), on_retry)
        doubted: set[str] = set()

        def attempt() -> Fetched:
            try:
                with _disk_errors(address):
                    return self._download(address, target, expected, doubted, growing)
            except _DoubtedError as error:
                doubted.add(error.found)
                raise

        return self._retried(attempt, on_retry)

    def probe(self, location: Addressed | str, known: Known | None = None) -> Probe:
        """Ask, in one request, whether the file at `location` is still the `known` one, and how large it is.

        Raises `TransferError`, with status 404 where there is no such file.
        """
        address, _ = _parts(location)
        if not _is_url(address):
            try:
                return probe_file(Path(address), known)
            except FileNotFoundError as error:
                raise TransferError(address, "no such file", retryable=False, status=404) from error
            except OSError as error:
                raise TransferError(address, f"cannot be read: {error.strerror}", retryable=False) from error

        def attempt() -> Probe:
            enough = lambda answer: says_enough(answer, known)  # noqa: E731
            with ask(self._client, address, conditions(known), token=self._token(address), enough=enough) as answer:
                return read_answer(address, answer, known)

        return self._retried(attempt)

    def text(self, url: str) -> str:
        """A small text file over HTTP; see `decode` for its encodings. Raises `TransferError`, also for over 64 MiB."""

        def attempt() -> str:
            with ask(self._client, url, {}, token=self._token(url)) as answer:
                return _read_text(url, answer)

        return self._retried(attempt)

    def _token(self, url: str) -> str | None:
        try:
            return self._bearer.get(httpx.URL(url).netloc.decode())
        except httpx.InvalidURL:
            return None

    def _download(
        self, url: str, target: Path, expected: str | None, doubted: set[str], growing: Growing | None
    ) -> Fetched:
        policy = self._policy
        with open_download(url, target, growing) as download:
            guard = download.resume()
            headers = {"Range": f"bytes={download.bytes}-", "If-Range": guard} if guard else {}
            watch = StallWatch(policy.stall_window_s, policy.least_bytes_per_s)
            try:
                with ask(self._client, url, headers, token=self._token(url)) as answer:
                    download.receive(answer, guard, self._pace, watch)
                    etag, modified = answer.response.headers.get("ETag"), answer.response.headers.get("Last-Modified")
                    linked = answer.linked_etag
                _check_hash(url, download.sha256, strict=expected or _sha256_in(linked), claim=etag, doubted=doubted)
            except TransferError as error:
                error.progressed = download.progressed and error.retryable and not error.wrong_bytes
                if error.wrong_bytes:
                    download.forget()
                raise
            download.finish(target)
        return Fetched(download.bytes, download.sha256, linked or etag, modified, redacted(url))

    def _retried(self, attempt: Callable[[], T], on_retry: OnRetry | None = None) -> T:
        patience = _Patience(self._policy)

        def tell(state: RetryCallState) -> None:
            if on_retry is not None and state.next_action is not None:
                on_retry(_error_of(state), state.next_action.sleep)

        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, TransferError) and error.retryable),
            stop=patience.is_over,
            wait=patience.wait_s,
            before_sleep=tell,
            reraise=True,
        )
        return retrying(attempt)


class _Patience:
    """How often and how long: exponential back-off with jitter since the last attempt that brought something."""

    def __init__(self, policy: TransferPolicy) -> None:
        self._policy = policy
        self._in_vain = 0

    def wait_s(self, state: RetryCallState) -> float:
        """Seconds until the next attempt; tenacity asks this before `is_over`."""
        error = _error_of(state)
        self._in_vain = 1 if error.progressed else self._in_vain + 1
        if isinstance(error, _DoubtedError):
            return 0.0
        longest = min(self._policy.longest_backoff_s, self._policy.backoff_s * 2 ** (self._in_vain - 1))
        return max(error.retry_after_s or 0.0, longest * random.uniform(0.5, 1.0))  # noqa: S311

    def is_over(self, state: RetryCallState) -> bool:
        """Whether another attempt is useless."""
        asked_s = _error_of(state).retry_after_s or 0.0
        return self._in_vain >= self._policy.attempts or asked_s > _LONGEST_RETRY_AFTER_S


def _error_of(state: RetryCallState) -> TransferError:
    error = state.outcome.exception() if state.outcome is not None else None
    if not isinstance(error, TransferError):
        raise TypeError(f"only a TransferError is tried again, got {error!r}")
    return error


def _check_hash(url: str, found: str, *, strict: str | None, claim: str | None, doubted: set[str]) -> None:
    claimed = _sha256_in(claim)
    if strict is not None:
        if strict.lower() != found:
            raise TransferError(
                url, f"expected SHA-256 {strict.lower()}, got {found}", retryable=True, wrong_bytes=True
            )
    elif claimed not in (None, found) and found not in doubted:
        raise _DoubtedError(url, claimed, found)


def _sha256_in(etag: str | None) -> str | None:
    """The SHA-256 that a strong ETag of 64 hexadecimal digits may be."""
    bare = (etag or "").strip('"').lower()
    return bare if _SHA256.fullmatch(bare) else None


def _parts(location: Addressed | str) -> tuple[str, str | None]:
    return (location, None) if isinstance(location, str) else (location.address, location.sha256)


def _is_url(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def _copy(source: Path, target: Path, expected: str | None, growing: Growing | None) -> Fetched:
    try:
        opened = source.open("rb")
    except OSError as error:
        raise TransferError(str(source), f"cannot be read: {error.strerror}", retryable=False) from error
    with opened, open_download(str(source), target, growing) as download:
        download.forget()
        before, facts = stamp(source), os.fstat(opened.fileno())
        while chunk := opened.read(_CHUNK_BYTES):
            download.add(chunk)
        if expected is not None and expected.lower() != download.sha256:
            reason = f"expected SHA-256 {expected.lower()}, got {download.sha256}"
            download.forget()
            raise TransferError(str(source), reason, retryable=False, wrong_bytes=True)
        download.finish(target)
    return Fetched(
        download.bytes, download.sha256, before, formatdate(facts.st_mtime, usegmt=True), redacted(str(source))
    )


def _read_text(url: str, answer: Answer) -> str:
    check_status(url, answer.response)
    body = bytearray()
    for chunk in answer.response.iter_raw():
        body += chunk
        if len(body) > _MAX_TEXT_BYTES:
            raise TransferError(url, f"more than {_MAX_TEXT_BYTES} bytes of text", retryable=False)
    return decode(bytes(body))


@contextmanager
def _disk_errors(address: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise TransferError(address, f"no room to write it: {error.strerror}", retryable=False) from error
        raise
