"""How fast bytes come: a cap that many threads share, and a watch that tells a stalled connection from a slow disk."""

import threading
import time
from collections import deque


class Pace:
    """A cap on bytes per second over all threads that `take` from it; None caps nothing."""

    def __init__(self, bytes_per_s: float | None) -> None:
        self._bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, size: int) -> None:
        """Wait until `size` more bytes are within the cap; in the order of asking."""
        if self._bytes_per_s is None:
            return
        with self._lock:
            start = max(time.monotonic(), self._free_at)
            self._free_at = start + size / self._bytes_per_s
            wait_s = self._free_at - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)


class StallWatch:
    """Detects when fewer than `least_bytes_per_s` came over the last `window_s` seconds of waiting for the network.

    Only waiting for the network counts, not the time for writing to a disk or for the receiver's own cap.
    """

    def __init__(self, window_s: float, least_bytes_per_s: float) -> None:
        self._window_s, self._least = window_s, least_bytes_per_s
        self._arrived: deque[tuple[float, int]] = deque()
        self._waited_s, self._bytes = 0.0, 0

    def stalled(self, waited_s: float, size: int) -> bool:
        """Note that `size` bytes came after `waited_s` seconds; whether that is too little by now."""
        self._arrived.append((waited_s, size))
        self._waited_s += waited_s
        self._bytes += size
        while self._waited_s - self._arrived[0][0] >= self._window_s:
            oldest_s, oldest = self._arrived.popleft()
            self._waited_s -= oldest_s
            self._bytes -= oldest
        return self._waited_s >= self._window_s and self._bytes < self._least * self._waited_s
