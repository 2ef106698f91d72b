"""One HTTP request to a `DatasetServer`: validators, ranges, and the body with its faults."""

import re
import socket
import struct
import time
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol

from kits_core.phantom.faults import Fault, FaultKind, FaultPlan

_CHUNK_BYTES = 1 << 16
_SHORTEST_SLEEP_S = 0.005
_DRIP_BYTES, _DRIP_EVERY_S = 16, 0.02
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_PROBE = re.compile(r"bytes=0-\d+")
_REFUSALS: dict[FaultKind, HTTPStatus] = {
    FaultKind.STATUS_500: HTTPStatus.INTERNAL_SERVER_ERROR,
    FaultKind.STATUS_503: HTTPStatus.SERVICE_UNAVAILABLE,
    FaultKind.STATUS_404: HTTPStatus.NOT_FOUND,
    FaultKind.TOO_MANY_REQUESTS: HTTPStatus.TOO_MANY_REQUESTS,
}
_HALVING = (FaultKind.RESET, FaultKind.TRUNCATE, FaultKind.STALL, FaultKind.NO_LENGTH)


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
    stopping: Any
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
    wbufsize = _CHUNK_BYTES
    timeout = 60

    def __init__(self, host: Host, *args: Any) -> None:
        self._host = host
        super().__init__(*args)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Silence: the host keeps its own log."""

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
        elif kind is FaultKind.HTML:
            self._text(path, HTTPStatus.OK, body=b"<!doctype html><title>Sorry</title>", mime="text/html")
        elif kind is FaultKind.REDIRECT_LOOP:
            self._text(path, HTTPStatus.FOUND, headers={"Location": self.path})
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
        if kind is FaultKind.CHANGED_ETAG:
            headers |= dict.fromkeys(("ETag", "X-Linked-ETag"), f'"changed-{headers["ETag"][1:9]}"')
        if self.headers.get("If-None-Match") == headers["ETag"]:
            self._text(path, HTTPStatus.NOT_MODIFIED, headers=headers)
            return
        size = file.stat().st_size
        ranges = kind is not FaultKind.NO_RANGES
        asked = self._asked_range(size, headers["ETag"], headers["Last-Modified"]) if ranges else None
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
            headers["Content-Length"] = str(stop - start)
        status = HTTPStatus.OK if asked is None else HTTPStatus.PARTIAL_CONTENT
        self.send_response(status)
        for name, value in {"Content-Type": "application/octet-stream", **headers}.items():
            self.send_header(name, value)
        # Noted before it is sent: a client that has it all may look at the log at once.
        place = self._host.record(Served(self.command, path, status, start, stop - start if with_body else 0))
        self.end_headers()
        if with_body:
            self._host.amend(place, self._body(file, start, stop, fault))

    def _asked_range(self, size: int, etag: str, modified: str) -> tuple[int, int] | None:
        """First byte and the one after the last, or None for the whole file. Empty if the range lies outside it.

        RFC 9110, 14.2: a malformed or multiple range, or one whose If-Range does not match, is as if not asked for.
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

    def _body(self, file: Path, start: int, stop: int, fault: Fault | None) -> int:
        """Send bytes `start:stop` of the file with the fault; returns how many were sent."""
        kind = None if fault is None else fault.kind
        middle = start + (stop - start) // 2
        end = middle if kind in _HALVING else stop
        sent, began = 0, time.monotonic()
        with file.open("rb") as opened:
            opened.seek(start)
            if kind is FaultKind.DRIP:
                return self._drip(opened, stop - start)
            while sent < end - start and (chunk := opened.read(min(_CHUNK_BYTES, end - start - sent))):
                if kind is FaultKind.BIT_FLIP and start + sent <= middle < start + sent + len(chunk):
                    wrong = bytearray(chunk)
                    wrong[middle - start - sent] ^= 0x10
                    chunk = bytes(wrong)
                self.wfile.write(chunk)
                sent += len(chunk)
                self._keep_pace(began, sent)
        self.wfile.flush()
        if fault is not None and kind in _HALVING:
            self._break_off(fault)
        return sent

    def _keep_pace(self, began: float, sent: int) -> None:
        if self._host.bytes_per_s is not None:
            early_s = began + sent / self._host.bytes_per_s - time.monotonic()
            if early_s > _SHORTEST_SLEEP_S:
                time.sleep(early_s)

    def _drip(self, opened: BinaryIO, size: int) -> int:
        sent = 0
        while sent < size and not self._host.stopping.wait(_DRIP_EVERY_S):
            self.wfile.write(opened.read(_DRIP_BYTES))
            self.wfile.flush()
            sent += _DRIP_BYTES
        return sent

    def _break_off(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.kind is FaultKind.STALL:
            self._host.stopping.wait(fault.stall_s)
        if fault.kind is FaultKind.RESET:
            # With a linger time of zero, closing discards what is unsent and answers with RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
