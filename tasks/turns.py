"""Flow runs of one home that would disturb each other take turns."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from prefect import get_run_logger

from db.at_work import turn_file
from db.settings import current_settings


@contextmanager
def take_turns(at: str, what: str) -> Iterator[None]:
    """Hold the home's lock `at` for the block. While another run holds it, it waits, and shows `what` in the log.

    The operating system releases it however that run ends.
    """
    path = turn_file(current_settings(), at)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            get_run_logger().info("waits for another run, which %s", what)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
