"""Logs: what a run writes into them steers no terminal, forges no line, and names nobody whom it is to hide."""

import logging

from kits_core.scrub import Scrubber
from kits_core.text import visible

scrub = Scrubber()
"""Of this process: every name that one of its runs is to hide (`tasks.names`)."""
_NEXT_LINE = "\n    "


class SafeRecord(logging.LogRecord):
    """A record whose message and traceback are scrubbed and `visible`; every line after the first is indented.

    Prefect writes some records itself, as of an exception that ended a task, so this is done for all of a process.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        if self.exc_info and self.exc_info[1]:
            # Every formatter takes this text where it is there already.
            self.exc_text = _safe(logging.Formatter().formatException(self.exc_info))

    def getMessage(self) -> str:  # noqa: N802 - its name in the standard library
        """The message, safe to show."""
        return _safe(super().getMessage())


def make_logs_safe() -> None:
    """All records of this process from now on are `SafeRecord`s."""
    logging.setLogRecordFactory(SafeRecord)


def _safe(text: str) -> str:
    return visible(scrub(text).replace("\r\n", "\n")).replace("\n", _NEXT_LINE)
