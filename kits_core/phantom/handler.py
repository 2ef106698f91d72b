"""One HTTP request to a `DatasetServer`: validators, ranges, and the body with its faults."""

import re
import socket
import struct
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar, Protocol

from kits_core.phantom.faults import Fault, FaultKind, FaultPlan

_CHUNK_BYTES = 1 << 16
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_REFUSALS: dict[FaultKind, HTTPStatus] = {
    FaultKind.STATUS_500: HTTPStatus.INTERNAL_SERVER_ERROR,
    FaultKind.STATUS_503: HTTPStatus.SERVICE_UNAVAILABLE,
    FaultKind.STATUS_404: HTTPStatus.NOT_FOUND,
    FaultKind.TOO_MANY_REQUESTS: HTTPStatus.TOO_MANY_REQUESTS,
}
_HALVING = (FaultKind.RESET, FaultKind.TRUNCATE, FaultKind.STALL, FaultKind.NO_LENGTH)


class Host(Protocol):
    """What a handler needs of its server."""

    faults: FaultPlan
    stopping: Any

    def find(self, target: str) -> tuple[str, Path | None]:
        """The requested path and its file."""

    def validators(self, file: Path) -> tuple[str, str]:
        """ETag and Last-Modified."""

    def record(self, method: str, path: str, status: int, start: int, sent: int) -> None:
        """Note an answer."""


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
        fault = self._host.faults.take(path)
        kind = None if fault is None else fault.kind
        if fault is not None and fault.kind in _REFUSALS:
            headers = {"Retry-After": str(fault.retry_after_s)} if kind is FaultKind.TOO_MANY_REQUESTS else {}
            self._text(path, _REFUSALS[fault.kind], headers=headers)
        elif kind is FaultKind.HTML:
            self._text(path, HTTPStatus.OK, body=b"<!doctype html><title>Sorry</title>", mime="text/html")
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
        self._host.record(self.command, path, status, 0, len(body) if has_body else 0)
        if has_body:
            self.wfile.write(body)

    def _file(self, path: str, file: Path, fault: Fault | None, *, with_body: bool) -> None:
        etag, modified = self._host.validators(file)
        if fault is not None and fault.kind is FaultKind.CHANGED_ETAG:
            etag = f'"changed-{etag[1:9]}"'
        validators = {"ETag": etag, "Last-Modified": modified, "X-Linked-ETag": etag, "Accept-Ranges": "bytes"}
        if self.headers.get("If-None-Match") == etag:
            self._text(path, HTTPStatus.NOT_MODIFIED, headers=validators)
            return
        size = file.stat().st_size
        ranges = fault is None or fault.kind is not FaultKind.NO_RANGES
        asked = self._asked_range(size, etag, modified) if ranges else None
        start, stop = (0, size) if asked is None else asked
        if start >= stop and asked is not None:
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            self._text(path, status, headers={**validators, "Content-Range": f"bytes */{size}"})
            return
        status = HTTPStatus.OK if asked is None else HTTPStatus.PARTIAL_CONTENT
        self.send_response(status)
        if asked is not None:
            validators["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
        if not ranges:
            del validators["Accept-Ranges"]
        if fault is not None and fault.kind is FaultKind.NO_LENGTH:
            self.close_connection = True
            validators["Connection"] = "close"
        else:
            validators["Content-Length"] = str(stop - start)
        for name, value in {"Content-Type": "application/octet-stream", **validators}.items():
            self.send_header(name, value)
        self.end_headers()
        sent = self._body(file, start, stop, fault) if with_body else 0
        self._host.record(self.command, path, status, start, sent)

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
        sent = 0
        with file.open("rb") as opened:
            opened.seek(start)
            while sent < end - start and (chunk := opened.read(min(_CHUNK_BYTES, end - start - sent))):
                if kind is FaultKind.BIT_FLIP and start + sent <= middle < start + sent + len(chunk):
                    wrong = bytearray(chunk)
                    wrong[middle - start - sent] ^= 0x10
                    chunk = bytes(wrong)
                self.wfile.write(chunk)
                sent += len(chunk)
        self.wfile.flush()
        if fault is not None and kind in _HALVING:
            self._break_off(fault)
        return sent

    def _break_off(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.kind is FaultKind.STALL:
            self._host.stopping.wait(fault.stall_s)
        if fault.kind is FaultKind.RESET:
            # With a linger time of zero, closing discards what is unsent and answers with RST instead of FIN.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
