"""The body of an answer: a part of a file on its way to a socket, at a pace and with the faults of a network."""

import socket
import struct
import time
from pathlib import Path
from threading import Event

from kits_core.phantom.faults import Fault, FaultKind

_PIECE_BYTES = 4 << 20
_PIECE_S = 0.05
"""Size of the pieces of a capped body: smaller ones would take more CPU than the client that is measured."""
_DRIP_BYTES_PER_S = 800.0
_HALVED = (FaultKind.RESET, FaultKind.TRUNCATE, FaultKind.STALL, FaultKind.NO_LENGTH)
_FLIPPED = (FaultKind.BIT_FLIP, FaultKind.SPLICE)


class Body:
    """The bytes `part` of a file. `sent`: how many the socket has taken, also when sending fails.

    `bytes_per_s` caps the rate, None caps nothing. Whoever waits here stops waiting when `stopping` is set.
    """

    def __init__(
        self, connection: socket.socket, file: Path, part: range, bytes_per_s: float | None, stopping: Event
    ) -> None:
        self.sent = 0
        self._connection, self._file = connection, file
        self._part = part
        self._bytes_per_s, self._stopping = bytes_per_s, stopping
        self._began = time.monotonic()

    @property
    def is_whole(self) -> bool:
        """Whether everything has been sent."""
        return self.sent == len(self._part)

    def send(self, fault: Fault | None) -> None:
        """Send everything, or the part that `fault` allows. Raises `OSError` when the client hangs up."""
        kind = None if fault is None else fault.kind
        size = len(self._part)
        if kind is FaultKind.DRIP:
            self._bytes_per_s = _DRIP_BYTES_PER_S
            self._through(size)
        elif kind in _FLIPPED:
            self._through(size // 2)
            self._flipped_byte()
            self._through(size)
        else:
            self._through(size // 2 if kind in _HALVED else size)
        if fault is not None and kind is FaultKind.STALL:
            self._stopping.wait(fault.stall_s)
        if kind is FaultKind.RESET:
            # With a linger time of zero, closing discards what is unsent and answers with RST instead of FIN.
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._connection.close()

    def _through(self, end: int) -> None:
        """Send up to byte `end` of the body."""
        cap = self._bytes_per_s
        piece = _PIECE_BYTES if cap is None else max(1, int(cap * _PIECE_S))
        with self._file.open("rb") as opened:
            while self.sent < end and self._in_time(min(piece, end - self.sent)):
                opened.seek(self._part.start + self.sent)
                try:
                    # From the page cache to the socket, past this process. Its position then says what was sent.
                    if not self._connection.sendfile(opened, self._part.start + self.sent, min(piece, end - self.sent)):
                        return  # the file has become shorter
                finally:
                    self.sent = opened.tell() - self._part.start

    def _in_time(self, size: int) -> bool:
        """Wait until `size` more bytes are within the cap; False once the server stops."""
        if self._bytes_per_s is None:
            return not self._stopping.is_set()
        due = self._began + (self.sent + size) / self._bytes_per_s
        return not self._stopping.wait(max(0.0, due - time.monotonic()))

    def _flipped_byte(self) -> None:
        with self._file.open("rb") as opened:
            opened.seek(self._part.start + self.sent)
            right = opened.read(1)
        self._connection.sendall(bytes([right[0] ^ 0x10]))
        self.sent += 1
