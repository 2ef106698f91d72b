"""One HTTP request to a `DatasetServer`: validators, ranges, and the body with its faults."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, Protocol

from kits_core.phantom.body import Body
from kits_core.phantom.faults import Fault, FaultKind, FaultPlan

_HEADER_BYTES = 1 << 16
_PAGE = b"<!doctype html><title>Sorry</title>"
_FILE_TYPE = "application/octet-stream"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PROBE = re.compile(r"bytes=0-\d+")
_REFUSALS: dict[FaultKind, HTTPStatus] = {
    FaultKind.STATUS_500: HTTPStatus.INTERNAL_SERVER_ERROR,
    FaultKind.STATUS_503: HTTPStatus.SERVICE_UNAVAILABLE,
    FaultKind.STATUS_404: HTTPStatus.NOT_FOUND,
    FaultKind.TOO_MANY_REQUESTS: HTTPStatus.TOO_MANY_REQUESTS,
}
_PAGES = {FaultKind.HTML: "text/html", FaultKind.PAGE_AS_FILE: _FILE_TYPE}
_TERABYTE = 10**12
_LAST_ANSWER = (FaultKind.RESET, FaultKind.TRUNCATE, FaultKind.STALL, FaultKind.NO_LENGTH, FaultKind.TERABYTE)
"""What the connection does not survive."""


@dataclass(frozen=True)
class Served:
    """One answered request. `start` is the first byte of the file that was sent, `sent` the bytes of body."""

    method: str
    path: str
    status: int
    start: int
    sent: int


class Host(Protocol):
    """What a handler needs of its server."""

    faults: FaultPlan
    stopping: Event
    latency_s: float
    bytes_per_s: float | None

    def find(self, target: str) -> tuple[str, Path | None]:
        """The requested path and its file."""

    def redirect(self, target: str) -> dict[str, str] | None:
        """Headers of a redirect elsewhere; None for an answer from here."""

    def validators(self, file: Path) -> dict[str, str]:
        """Headers that say which version of a file this is, ETag and Last-Modified among them."""

    def record(self, served: Served) -> int:
        """Note an answer that begins; returns its place."""

    def amend(self, place: int, sent: int) -> None:
        """Correct how much of it was sent."""


class DatasetHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for files of the host's root."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm: ClassVar[bool] = True
    wbufsize = _HEADER_BYTES
    timeout = 60

    def __init__(self, host: Host, *args: Any) -> None:
        self._host = host
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Logs nothing: the server keeps its own log."""

    def do_GET(self) -> None:
        """Answer with the file, a part of it, or a status."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers alone."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        path, file = self._host.find(self.path)
        self._host.stopping.wait(self._host.latency_s)
        fault = self._host.faults.take(path, probing=_PROBE.fullmatch(self.headers.get("Range", "")) is not None)
        kind = None if fault is None else fault.kind
        if fault is not None and fault.kind in _REFUSALS:
            headers = {"Retry-After": str(fault.retry_after_s)} if kind is FaultKind.TOO_MANY_REQUESTS else {}
            self._text(path, _REFUSALS[fault.kind], headers=headers)
        elif kind in _PAGES:
            self._text(path, HTTPStatus.OK, body=_PAGE, mime=_PAGES[kind])
        elif kind is FaultKind.REDIRECT_LOOP:
            self._text(path, HTTPStatus.FOUND, headers={"Location": self.path})
        elif kind is FaultKind.REDIRECT_TO_A_FILE:
            self._text(path, HTTPStatus.FOUND, headers={"Location": "file:///etc/hostname"})
        elif (elsewhere := self._host.redirect(self.path)) is not None:
            self._text(path, HTTPStatus.FOUND, headers=elsewhere)
        elif file is None:
            self._text(path, HTTPStatus.NOT_FOUND)
        else:
            self._file(path, file, fault, with_body=with_body)

    def _text(
        self,
        path: str,
        status: HTTPStatus,
        *,
        body: bytes = b"",
        mime: str = "text/plain",
        headers: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        has_body = self.command != "HEAD" and status not in (HTTPStatus.NOT_MODIFIED, HTTPStatus.NO_CONTENT)
        length = {} if status is HTTPStatus.NOT_MODIFIED else {"Content-Type": mime, "Content-Length": str(len(body))}
        for name, value in {**length, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self._host.record(Served(self.command, path, status, 0, len(body) if has_body else 0))
        if has_body:
            self.wfile.write(body)

    def _file(self, path: str, file: Path, fault: Fault | None, *, with_body: bool) -> None:
        kind = None if fault is None else fault.kind
        headers = self._host.validators(file)
        if kind in (FaultKind.CHANGED_ETAG, FaultKind.SPLICE):
            headers |= dict.fromkeys(("ETag", "X-Linked-ETag"), f'"changed-{headers["ETag"][1:9]}"')
        if self.headers.get("If-None-Match") == headers["ETag"]:
            self._text(path, HTTPStatus.NOT_MODIFIED, headers=headers)
            return
        size = file.stat().st_size
        ranges = kind is not FaultKind.NO_RANGES
        guard = self.headers.get("If-Range", "") if kind is FaultKind.SPLICE else headers["ETag"]
        asked = self._asked_range(size, guard, headers["Last-Modified"]) if ranges else None
        start, stop = (0, size) if asked is None else asked
        if start >= stop and asked is not None:
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            self._text(path, status, headers={**headers, "Content-Range": f"bytes */{size}"})
            return
        if asked is not None:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        if ranges:
            headers["Accept-Ranges"] = "bytes"
        if kind is FaultKind.WRONG_LENGTH:
            stop = start + (stop - start) // 2
        if kind is FaultKind.NO_LENGTH:
            self.close_connection = True
            headers["Connection"] = "close"
        else:
            headers["Content-Length"] = str(_TERABYTE if kind is FaultKind.TERABYTE else stop - start)
        status = HTTPStatus.OK if asked is None else HTTPStatus.PARTIAL_CONTENT
        self.send_response(status)
        for name, value in {"Content-Type": _FILE_TYPE, **headers}.items():
            self.send_header(name, value)
        # Noted before it is sent: a client may read the log as soon as it has received everything.
        place = self._host.record(Served(self.command, path, status, start, stop - start if with_body else 0))
        self.end_headers()
        if with_body:
            part = range(start, stop)
            self._send(Body(self.connection, file, part, self._host.bytes_per_s, self._host.stopping), fault, place)

    def _asked_range(self, size: int, etag: str, modified: str) -> tuple[int, int] | None:
        """First byte and the one after the last, or None for the whole file. Empty if the range lies outside it.

        RFC 9110, 14.2: a malformed or multiple range, or one whose If-Range does not match, is ignored.
        """
        found = _RANGE.fullmatch(self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        if found is None or not any(found.groups()) or (condition is not None and condition not in (etag, modified)):
            return None
        first, last = found.groups()
        if not first:
            return max(0, size - int(last)), size
        if last and int(last) < int(first):
            return None
        return int(first), min(size, int(last) + 1) if last else size

    def _send(self, body: Body, fault: Fault | None, place: int) -> None:
        self.wfile.flush()
        try:
            body.send(fault)
        finally:
            self._host.amend(place, body.sent)
            if not body.is_whole or (fault is not None and fault.kind in _LAST_ANSWER):
                self.close_connection = True
