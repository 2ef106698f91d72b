"""HTTP for transfers: time-outs, redirects that never leave https, and errors that say if a retry helps."""

import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial

import httpx

from kits_core.errors import KitsError

_MAX_REDIRECTS = 10
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_WHOLE = re.compile(r"[0-9]{1,18}")
_RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})

for _name in ("httpx", "httpcore"):
    # Their lines below WARNING hold whole addresses and headers, signatures and tokens included.
    logging.getLogger(_name).setLevel(logging.WARNING)


class TransferError(KitsError):
    """A file could not be fetched. `retryable`: whether asking again can help; the caller decides when and how often.

    `retry_after_s`: what the server asked to wait; None where it did not say. `status`: the HTTP status, if one came.
    `wrong_bytes`: the bytes that arrived cannot be used. `progressed`: the bytes that arrived will be resumed. The
    message never contains secrets of an address: see `redacted`.
    """

    def __init__(
        self,
        address: str,
        reason: str,
        *,
        retryable: bool,
        retry_after_s: float | None = None,
        status: int | None = None,
        wrong_bytes: bool = False,
    ) -> None:
        address = redacted(address)
        super().__init__(f"{address}: {reason}; {'try again' if retryable else 'mend this first'}")
        self.address, self.reason, self.retryable = address, reason, retryable
        self.retry_after_s, self.status, self.wrong_bytes = retry_after_s, status, wrong_bytes
        self.progressed = False

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by keyword, so that the error crosses a process boundary whole."""
        stated = {name: getattr(self, name) for name in ("retryable", "retry_after_s", "status", "wrong_bytes")}
        return partial(TransferError, self.address, self.reason, **stated), ()


def redacted(address: str) -> str:
    """An address without user, password, query and fragment, which may be secrets; a path as it is."""
    if "://" not in address:
        return address
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        return f"{address.partition('://')[0]}://..."
    return f"{url.scheme}://{url.netloc.decode()}{url.path}"


@dataclass(frozen=True)
class Answer:
    """The last response of a chain of redirects, and what the chain said of the file before it."""

    response: httpx.Response
    linked_etag: str | None
    linked_size: int | None


@contextmanager
def ask(
    client: httpx.Client,
    url: str,
    headers: Mapping[str, str],
    *,
    token: str | None = None,
    enough: Callable[[Answer], bool] | None = None,
) -> Iterator[Answer]:
    """GET `url` without its body, following redirects; the body is read from `response` inside the block.

    Hosts that redirect to storage state the file's SHA-256 and size on the way (`X-Linked-ETag`, `X-Linked-Size`); a
    redirect that is `enough` is not followed. `token` goes to the host of `url` alone, and not in clear over a network.
    Raises `TransferError` for failures of the network, for a redirect from https to http, and for too many redirects.
    """
    response: httpx.Response | None = None
    linked: dict[str, str] = {}
    try:
        # Bytes must arrive as stored: their hash, length and ranges are those of the file.
        request: httpx.Request = client.build_request("GET", url, headers={"Accept-Encoding": "identity", **headers})
        if token is not None:
            _authorise(request, url, token)
        for _ in range(_MAX_REDIRECTS):
            response = client.send(request, stream=True, follow_redirects=False)
            for name in ("X-Linked-ETag", "X-Linked-Size"):
                if name in response.headers:
                    linked.setdefault(name, response.headers[name])
            answer = Answer(response, linked.get("X-Linked-ETag"), whole(linked.get("X-Linked-Size")))
            if response.next_request is None or (enough is not None and enough(answer)):
                yield answer
                return
            # httpx drops the token from a request to another host.
            request = _checked(url, request, response.next_request)
            response.close()
        raise TransferError(url, f"more than {_MAX_REDIRECTS} redirects", retryable=False)
    except httpx.HTTPError as error:
        raise TransferError(url, f"{type(error).__name__}: {error}", retryable=_is_transient(error)) from error
    except httpx.InvalidURL as error:
        raise TransferError(url, "no valid address", retryable=False) from error
    finally:
        if response is not None:
            response.close()


def _authorise(request: httpx.Request, url: str, token: str) -> None:
    if request.url.scheme != "https" and request.url.host not in _LOOPBACK:
        raise TransferError(url, "a token is sent over https only; name the source with https", retryable=False)
    request.headers["Authorization"] = f"Bearer {token}"


def whole(text: str | None) -> int | None:
    """A number of bytes from a header; None if it is missing or invalid."""
    return int(text) if text is not None and _WHOLE.fullmatch(text) else None


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
        raise TransferError(
            url, f"a redirect from {before.url.scheme} to {after.url.scheme} is refused", retryable=False
        )
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
