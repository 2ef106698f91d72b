"""Progress of long work, reported to a listener, such as the command line, if there is one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Listener(Protocol):
    """Someone who shows progress."""

    def update(self, stage: str, done: int, total: int, note: str) -> None:
        """`done` of `total` pieces of `stage` are finished; `note` says more, or is empty."""

    def say(self, text: str) -> None:
        """Something worth a line of its own."""


_listener: ContextVar[Listener | None] = ContextVar("kits_progress_listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within the block, reports of this thread's flows go to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report_progress(stage: str, done: int, total: int, note: str = "") -> None:
    """Tell the listener, if there is one."""
    listener = _listener.get()
    if listener is not None:
        listener.update(stage, done, total, note)


def say(text: str) -> None:
    """Tell the listener, if there is one, something worth a line of its own."""
    listener = _listener.get()
    if listener is not None:
        listener.say(text)
