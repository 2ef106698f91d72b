"""The Prefect server that a command uses: the configured one, that of `kits up`, or the home's own."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.home_note import auth_string
from deployments.home_server import CLIENT_AUTH, home_server

HEARTBEAT_S = 30
"""How often each run of ours gives a sign of life. Prefect's own is 180 s, which an automation takes for silence."""
SILENCE_S = 3 * HEARTBEAT_S
_SEND_TIMEOUT_S = 15.0


@contextmanager
def prefect_server(
    home: Path,
    *,
    idle_s: float = 0.0,
    meanwhile: Callable[[], object] = lambda: None,
    waits: Callable[[str], object] = lambda _: None,
) -> Iterator[str]:
    """Yields the address of the API to use, which all of this process's Prefect clients then use too.

    A server that the user has configured in Prefect's own settings (`PREFECT_API_URL` or the active profile) comes
    first, with the password that stands there. One that is started here asks for the home's, outlives this process, and
    ends when no command has used it for `idle_s` seconds. `meanwhile` is called once, while a server starts or at once;
    `waits` with what is waited for, if it takes long. Raises `KitsError` for a server that does not come up.
    """
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - half a second

    if configured := PREFECT_API_URL.value():
        meanwhile()
        yield configured
        return

    def tidy(api_url: str) -> None:
        with _using(api_url, auth_string(home, api_url)):
            crash_killed_runs()

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


def crash_killed_runs() -> None:
    """Mark the runs of killed commands as crashed.

    Runs of deployments are none of ours: a worker on another server of this history may be at them.
    """
    from prefect import get_client  # noqa: PLC0415
    from prefect.client.schemas.filters import (  # noqa: PLC0415
        FlowRunFilter,
        FlowRunFilterDeploymentId,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType  # noqa: PLC0415
    from prefect.states import Crashed  # noqa: PLC0415

    unfinished = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])),
        deployment_id=FlowRunFilterDeploymentId(is_null_=True),
    )
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=unfinished):
            client.set_flow_run_state(run.id, Crashed(message="Its process ended without a word."), force=True)


def _send_what_is_queued() -> None:
    """Logs and events travel in the background; what still waits would be lost with this process.

    Or worse: at the process's end Prefect tries for a minute to send it to a server that is gone.
    """
    from prefect.events.worker import EventsWorker  # noqa: PLC0415
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    APILogWorker.drain_all(timeout=_SEND_TIMEOUT_S)
    EventsWorker.drain_all(timeout=_SEND_TIMEOUT_S)
