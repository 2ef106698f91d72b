"""The Prefect server that a command uses: the configured one, that of `kits up`, or the home's own."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.home_note import auth_string
from deployments.home_server import CLIENT_AUTH, home_server

_SEND_TIMEOUT_S = 15.0


@contextmanager
def prefect_server(
    home: Path,
    *,
    idle_s: float = 0.0,
    meanwhile: Callable[[], object] = lambda: None,
    alone: Callable[[], object] = lambda: None,
    waits: Callable[[str], object] = lambda _: None,
) -> Iterator[str]:
    """Yields the address of the API to use, which all of this process's Prefect clients then use too.

    A server that the user has configured in Prefect's own settings (`PREFECT_API_URL` or the active profile) comes
    first, with the password that stands there. One that is started here asks for the home's, outlives this process, and
    ends when no command has used it for `idle_s` seconds. `meanwhile` is called once, while a server starts or at once;
    `alone` where neither another command nor `kits up` is at work on the home, while others wait; `waits` with what is
    waited for, if it takes long. Raises `KitsError` for a server that does not come up.
    """
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - half a second

    if configured := PREFECT_API_URL.value():
        meanwhile()
        yield configured
        return

    def tidy(api_url: str) -> None:
        with _using(api_url, auth_string(home, api_url)):
            alone()

    with (
        home_server(home, idle_s, meanwhile=meanwhile, alone=tidy, waits=waits) as api_url,
        _using(api_url, auth_string(home, api_url)),
    ):
        yield api_url


@contextmanager
def _using(api_url: str, auth: str | None) -> Iterator[None]:
    """Let Prefect's clients in this process, and in those that it starts, talk to a server for the block."""
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings  # noqa: PLC0415

    # Prefect's background threads read the environment, the calling thread reads the context: both must say it.
    words = {"PREFECT_API_URL": api_url} | ({CLIENT_AUTH: auth} if auth else {})
    before = {name: os.environ.get(name) for name in words}
    os.environ.update(words)
    try:
        with temporary_settings({PREFECT_API_URL: api_url} | ({PREFECT_API_AUTH_STRING: auth} if auth else {})):
            try:
                yield
            finally:
                _send_what_is_queued()
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _send_what_is_queued() -> None:
    """Logs and events travel in the background; what still waits would be lost with this process.

    Or worse: at the process's end Prefect tries for a minute to send it to a server that is gone.
    """
    from prefect.events.worker import EventsWorker  # noqa: PLC0415
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    APILogWorker.drain_all(timeout=_SEND_TIMEOUT_S)
    EventsWorker.drain_all(timeout=_SEND_TIMEOUT_S)
