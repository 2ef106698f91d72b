"""Makes log lines safe: they cannot control a terminal, fake other lines, or show names that must be hidden."""

import logging

from kits_core.scrub import Scrubber
from kits_core.text import visible

scrub = Scrubber()
"""All names that a run of this process must hide (`tasks.names`)."""
_NEXT_LINE = "\n    "


class SafeRecord(logging.LogRecord):
    """A record whose message and traceback are scrubbed and `visible`; every line after the first is indented.

    Prefect writes some records itself, for example when an exception ends a task, so this applies to the whole process.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if self.exc_info and self.exc_info[1]:
            # Every formatter uses this text if it exists already.
            self.exc_text = _safe(logging.Formatter().formatException(self.exc_info))

    def getMessage(self) -> str:  # noqa: N802 - its name in the standard library
        """The message, safe to show."""
        return _safe(super().getMessage())


def make_logs_safe() -> None:
    """From now on all log records of this process are `SafeRecord`s."""
    logging.setLogRecordFactory(SafeRecord)


def _safe(text: str) -> str:
    return visible(scrub(text).replace("\r\n", "\n")).replace("\n", _NEXT_LINE)
