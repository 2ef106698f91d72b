"""HTTP as transfer needs it: time-outs, redirects that never leave https, and failures that say if a retry helps."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from kits_core.errors import KitsError

_MAX_REDIRECTS = 10
_RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class TransferError(KitsError):
    """A file could not be fetched. `retryable`: whether asking again can help; the caller decides when and how often.

    `retry_after_s`: what the server asked to wait; None where it did not say. `status`: the HTTP status, if one came.
    """

    def __init__(
        self,
        address: str,
        reason: str,
        *,
        retryable: bool,
        retry_after_s: float | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(f"{address}: {reason}; {'try again' if retryable else 'a retry will not help'}")
        self.address, self.reason, self.retryable = address, reason, retryable
        self.retry_after_s, self.status = retry_after_s, status

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by keyword, so that the error crosses a process boundary whole."""
        return _rebuild, (self.address, self.reason, self.retryable, self.retry_after_s, self.status)


def _rebuild(
    address: str,
    reason: str,
    retryable: bool,
    retry_after_s: float | None,
    status: int | None,
) -> TransferError:
    return TransferError(address, reason, retryable=retryable, retry_after_s=retry_after_s, status=status)


@dataclass(frozen=True)
class Answer:
    """The last response of a chain of redirects, and what the chain said of the file before it."""

    response: httpx.Response
    linked_etag: str | None
    linked_size: int | None


def open_client(*, connect_s: float = 10.0, read_s: float = 30.0, connections: int = 8) -> httpx.Client:
    """A client for many fetches: keep one and close it. `read_s` is the longest silence, not the longest download.

    Proxies and `.netrc` come from the environment. Redirects are followed by `ask`, which checks each.
    """
    return httpx.Client(
        timeout=httpx.Timeout(read_s, connect=connect_s),
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        headers={"User-Agent": "kits-platform"},
        follow_redirects=False,
    )


@contextmanager
def ask(client: httpx.Client, url: str, headers: dict[str, str]) -> Iterator[Answer]:
    """GET `url` without its body, following redirects; the body is read from `response` inside the block.

    Raises `TransferError` for failures of the network, for a redirect from https to http, and for too many redirects.
    Hosts that redirect to storage state the file's SHA-256 and size on the way (`X-Linked-ETag`, `X-Linked-Size`).
    """
    response: httpx.Response | None = None
    linked: dict[str, str] = {}
    try:
        # Bytes must arrive as stored: their hash, length and ranges are those of the file.
        request: httpx.Request = client.build_request("GET", url, headers={"Accept-Encoding": "identity", **headers})
        for _ in range(_MAX_REDIRECTS):
            response = client.send(request, stream=True, follow_redirects=False)
            for name in ("X-Linked-ETag", "X-Linked-Size"):
                if name in response.headers:
                    linked.setdefault(name, response.headers[name])
            if response.next_request is None:
                size = linked.get("X-Linked-Size", "")
                yield Answer(response, linked.get("X-Linked-ETag"), int(size) if size.isdecimal() else None)
                return
            request = _checked(url, request, response.next_request)
            response.close()
        raise TransferError(url, f"more than {_MAX_REDIRECTS} redirects", retryable=False)
    except httpx.HTTPError as error:
        raise TransferError(url, f"{type(error).__name__}: {error}", retryable=_is_transient(error)) from error
    except httpx.InvalidURL as error:
        raise TransferError(url, f"no valid address: {error}", retryable=False) from error
    finally:
        if response is not None:
            response.close()


def check_status(url: str, response: httpx.Response) -> None:
    """Raise `TransferError` unless the status is 200 or 206. 4xx other than 408, 425 and 429 are final."""
    status = response.status_code
    if status in (200, 206):
        return
    raise TransferError(
        url,
        f"HTTP status {status} {response.reason_phrase}".rstrip(),
        retryable=status in _RETRYABLE_STATUS,
        retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
        status=status,
    )


def _checked(url: str, before: httpx.Request, after: httpx.Request) -> httpx.Request:
    if after.url.scheme not in ("http", "https") or (before.url.scheme, after.url.scheme) == ("https", "http"):
        raise TransferError(url, f"a redirect from https to {after.url.scheme} is refused", retryable=False)
    return after


def _is_transient(error: httpx.HTTPError) -> bool:
    return not isinstance(error, httpx.UnsupportedProtocol | httpx.DecodingError | httpx.TooManyRedirects)


def _retry_after_s(value: str | None) -> float | None:
    """Seconds to wait: RFC 9110 allows a number or a date; anything else counts as not said."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
