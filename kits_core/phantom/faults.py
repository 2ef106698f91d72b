"""The faults that a `DatasetServer` commits on request."""

import threading
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class FaultKind(StrEnum):
    """What goes wrong."""

    STATUS_500 = "status_500"
    STATUS_503 = "status_503"
    STATUS_404 = "status_404"
    TOO_MANY_REQUESTS = "status_429"
    """429 with Retry-After."""
    RESET = "reset"
    """The connection is reset (RST) in the middle of the body."""
    TRUNCATE = "truncate"
    """The connection is closed in good order in the middle of the body, Content-Length notwithstanding."""
    STALL = "stall"
    """Nothing more comes after half of the body."""
    BIT_FLIP = "bit_flip"
    """One bit in the middle of the body is wrong, the length is right."""
    NO_RANGES = "no_ranges"
    """Range is ignored: 200 and the whole file."""
    NO_LENGTH = "no_length"
    """No Content-Length: the body ends with the connection, and at half of it."""
    HTML = "html"
    """A page that says sorry, with status 200."""
    PAGE_AS_FILE = "page_as_file"
    """The same page as application/octet-stream: no header tells it from the file."""
    DRIP = "drip"
    """A few bytes at a time, so slow that the download never ends."""
    WRONG_LENGTH = "wrong_length"
    """Content-Length says less than the whole file, and the body is as short as that."""
    REDIRECT_LOOP = "redirect_loop"
    """A redirect to the same address."""
    REDIRECT_TO_A_FILE = "redirect_to_a_file"
    """A redirect to a file of the machine that asks."""
    TERABYTE = "terabyte"
    """Content-Length says 1 TB; the body is the file, and then the connection is closed."""
    CHANGED_ETAG = "changed_etag"
    """Another ETag than before, as if the file had been replaced; If-Range is honoured."""
    SPLICE = "splice"
    """The range that was asked for, of another version: 206 with another ETag and a wrong bit, If-Range ignored."""


@dataclass(frozen=True)
class Fault:
    """`kind` happens to the first `times` requests whose path (without the first slash) matches `path_pattern`.

    `path_pattern`: shell wildcards, e.g. `case_00003/*`. Requests for only the start of a file, which probe it before a
    download, are not affected unless `probes`. `retry_after_s` goes with 429; a stall lasts `stall_s`. Faults of one
    path come one after the other: a RESET, then a CHANGED_ETAG, is a file replaced between two attempts.
    """

    path_pattern: str
    kind: FaultKind
    times: int = 1
    retry_after_s: int = 1
    stall_s: float = 30.0
    probes: bool = False


class FaultPlan:
    """Faults still to happen; threads take from it."""

    def __init__(self, faults: list[Fault]) -> None:
        self._faults = tuple(faults)
        self._left = [fault.times for fault in faults]
        self._lock = threading.Lock()

    def take(self, path: str, *, probing: bool = False) -> Fault | None:
        """The fault for this request, used up by one, or None."""
        with self._lock:
            for index, fault in enumerate(self._faults):
                if probing and not fault.probes:
                    continue
                if self._left[index] > 0 and fnmatchcase(path, fault.path_pattern):
                    self._left[index] -= 1
                    return fault
        return None
