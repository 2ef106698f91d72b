"""Serves a dataset folder on loopback HTTP, correctly or with chosen faults."""

import threading
from collections import Counter
from dataclasses import replace
from email.utils import formatdate
from enum import StrEnum
from functools import partial
from hashlib import sha256
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from kits_core.files import sha256_of
from kits_core.phantom.faults import Fault, FaultPlan
from kits_core.phantom.handler import DatasetHandler, Served


class Hashes(StrEnum):
    """What a file's ETag headers say about its content."""

    LINKED = "linked"
    """The SHA-256, as ETag and as `X-Linked-ETag`."""
    ETAG = "etag"
    """The SHA-256, as ETag alone."""
    OTHER = "other"
    """An ETag of 64 hexadecimal digits that is not the content's SHA-256, as some hosts have it."""
    NONE = "none"
    """An ETag of time and size."""


class DatasetServer:
    """Serves `root` on 127.0.0.1 while used as a context manager (or between `start()` and `stop()`).

    HTTP/1.1 with GET, HEAD, ranges, If-Range, If-None-Match and validators in the manner of `hashes`. No path leaves
    `root`. `faults` are used up in their order. Logs nothing; see `log`.
    """

    def __init__(
        self,
        root: Path,
        faults: list[Fault] | None = None,
        *,
        port: int = 0,
        hashes: Hashes = Hashes.LINKED,
        latency_s: float = 0.0,
        bytes_per_s: float | None = None,
    ) -> None:
        """`root`: the folder to serve; `port` 0 takes a free one. Nothing listens before `start()`.

        `latency_s`: before each answer; `bytes_per_s`: cap on each answer's body.
        """
        self.root = root.resolve()
        self.hashes, self.latency_s, self.bytes_per_s = hashes, latency_s, bytes_per_s
        self.faults = FaultPlan(faults or [])
        self.log: list[Served] = []
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._port = port
        self._hashes: dict[tuple[Path, int, int], str] = {}
        self._http: _QuietServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """Base URL without a final slash. Raises `RuntimeError` before the start."""
        if self._http is None:
            raise RuntimeError("the server is not running; use it as a context manager or call start()")
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    @property
    def requests(self) -> Counter[str]:
        """How often each path (without the first slash) was asked for, HEAD included."""
        return Counter(served.path for served in list(self.log))

    @property
    def bytes_sent(self) -> Counter[str]:
        """Bytes of body that were sent of each path."""
        total: Counter[str] = Counter()
        for served in list(self.log):
            total[served.path] += served.sent
        return total

    def start(self) -> Self:
        """Listen and serve on a thread of its own."""
        self.stopping.clear()
        self._http = _QuietServer(("127.0.0.1", self._port), partial(DatasetHandler, self))
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening; stalled answers end. Harmless when not running."""
        self.stopping.set()
        if self._http is not None and self._thread is not None:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()
            self._http = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def find(self, target: str) -> tuple[str, Path | None]:
        """The requested path and the file it names; None where there is no such file inside the root."""
        path = unquote(urlsplit(target).path).lstrip("/")
        try:
            file = (self.root / path).resolve()
            inside = file.is_relative_to(self.root) and file.is_file()
        except (OSError, ValueError):  # a NUL byte or a name longer than any file system takes
            return path, None
        return path, file if inside else None

    def redirect(self, target: str) -> dict[str, str] | None:  # noqa: ARG002 - for hosts that answer from elsewhere
        """None: everything is answered from here."""
        return None

    def validators(self, file: Path) -> dict[str, str]:
        """ETag, Last-Modified and perhaps X-Linked-ETag of a file."""
        facts = file.stat()
        headers = {"Last-Modified": formatdate(facts.st_mtime, usegmt=True)}
        if self.hashes is Hashes.NONE:
            return headers | {"ETag": f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'}
        if self.hashes is Hashes.OTHER:
            return headers | {"ETag": f'"{sha256(self.sha256(file).encode()).hexdigest()}"'}
        headers["ETag"] = f'"{self.sha256(file)}"'
        return headers | ({"X-Linked-ETag": headers["ETag"]} if self.hashes is Hashes.LINKED else {})

    def sha256(self, file: Path) -> str:
        """Hash of a file; computed once for each size and time of change."""
        facts = file.stat()
        key = (file, facts.st_size, facts.st_mtime_ns)
        if key not in self._hashes:
            self._hashes[key] = sha256_of(file)
        return self._hashes[key]

    def record(self, served: Served) -> int:
        """Note an answer in `log` as it begins; returns its place."""
        with self._lock:
            self.log.append(served)
            return len(self.log) - 1

    def amend(self, place: int, sent: int) -> None:
        """Correct how much of an answer's body was sent."""
        self.log[place] = replace(self.log[place], sent=sent)


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error of the server, so nothing is written to stderr."""
