"""A thread for small jobs during a long piece of work, which never waits for them."""

import threading
import time
from collections.abc import Callable, Hashable
from contextvars import copy_context

from kits_core.errors import KitsError

Job = Callable[[], object]

_RETRY_S = 5.0


class Beside:
    """Runs jobs one after the other, in the context of its creator, in a thread that ends with the process.

    `retry`: whether a job that raises is done again, some seconds later, until it succeeds; those behind it wait.
    Otherwise it is dropped, and `on_error` is called. A job that hangs delays only the jobs behind it.
    """

    def __init__(self, name: str, on_error: Callable[[Exception], object], *, retry: bool = False) -> None:
        self._jobs: dict[Hashable, Job] = {}
        self._changed = threading.Condition()
        self._closing, self._retry, self._on_error = False, retry, on_error
        self._error: Exception | None = None
        context = copy_context()
        self._thread = threading.Thread(target=lambda: context.run(self._run), name=name, daemon=True)
        self._thread.start()

    def put(self, key: Hashable, job: Job) -> None:
        """Queue a job. It replaces a job with the same key that has not begun."""
        with self._changed:
            self._jobs[key] = job
            self._changed.notify_all()

    def close(self, wait_s: float) -> None:
        """Wait until all jobs are done, at most `wait_s`. Jobs that are not done then are dropped.

        With `retry`, a dropped job raises its last error, or `KitsError` if it hangs.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(wait_s)
        with self._changed:
            self._jobs = {}
        if self._retry and self._thread.is_alive():
            raise self._error or KitsError(
                f"{self._thread.name}: expected to finish within {wait_s:.0f} s, but it did not; see what keeps "
                "the catalog busy, then give the same command again"
            )

    def _run(self) -> None:
        while (found := self._next()) is not None:
            key, job = found
            try:
                job()
            except Exception as error:  # noqa: BLE001 - whatever it is, the work beside it goes on
                self._failed(key, job, error)
            else:
                self._error = None

    def _next(self) -> tuple[Hashable, Job] | None:
        """Wait for the next job; None when no more will come."""
        with self._changed:
            while not self._jobs:
                if self._closing:
                    return None
                self._changed.wait()
            key = next(iter(self._jobs))
            return key, self._jobs.pop(key)

    def _failed(self, key: Hashable, job: Job, error: Exception) -> None:
        if self._error is None:
            self._on_error(error)
        if not self._retry:
            return
        with self._changed:
            self._error = error
            self._jobs = {key: job, **self._jobs}
        time.sleep(_RETRY_S)
