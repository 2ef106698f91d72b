"""A Prefect server for the length of one command, its history kept in the home."""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from kits_core.errors import KitsError

HOST = "127.0.0.1"
HEARTBEAT_S = 30
"""How often each run of ours gives a sign of life. Prefect's own is 180 s, which an automation takes for silence."""
SILENCE_S = 3 * HEARTBEAT_S
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 15.0


def prefect_home(home: Path) -> Path:
    """Where the server of a home keeps its database: `PREFECT_HOME` to look at the same history with any server."""
    return home / "prefect"


@contextmanager
def prefect_server(home: Path, meanwhile: Callable[[], object] | None = None) -> Iterator[str]:
    """Yields the address of the API to use: what the user has configured, that of `kits up`, or a local server's.

    `meanwhile` is called once, where there is a local server while that starts.

    The configured one comes from Prefect's own settings (`PREFECT_API_URL` or the active profile). The local server
    is ended with the block, or with this process if that is killed. Raises `KitsError` if it does not come up.
    """
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - half a second

    meanwhile = meanwhile or (lambda: None)
    if configured := PREFECT_API_URL.value():
        meanwhile()
        yield configured
        return
    if up := running_at(home):
        meanwhile()
        with _using(up):
            yield up
        return
    with _sharing(prefect_home(home)) as alone, _local_server(home, meanwhile) as api_url, _using(api_url):
        if alone:
            tidy_up()
        yield api_url


@contextmanager
def _using(api_url: str) -> Iterator[None]:
    """Let Prefect's clients in this process talk to a server for the block."""
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415

    # Prefect's background threads read the environment, the calling thread reads the context: both must say it.
    os.environ["PREFECT_API_URL"] = api_url
    try:
        with temporary_settings({PREFECT_API_URL: api_url}):
            try:
                yield
            finally:
                _send_what_is_queued()
    finally:
        os.environ.pop("PREFECT_API_URL", None)


def up_note(home: Path) -> Path:
    """Where `kits up` notes, for other commands of the home, where its server answers."""
    return prefect_home(home) / "up.json"


def running_at(home: Path) -> str | None:
    """The address of the API of a home that is up, if it answers."""
    try:
        api_url: str = json.loads(up_note(home).read_text(encoding="utf-8"))["api_url"]
    except (OSError, ValueError, KeyError):
        return None
    return api_url if answers(api_url) else None


def answers(api_url: str) -> bool:
    """Whether a Prefect server is there and well."""
    try:
        return httpx.get(f"{api_url}/health", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def _local_server(home: Path, meanwhile: Callable[[], object]) -> Iterator[str]:
    port = _free_port()
    api_url = f"http://{HOST}:{port}/api"
    log = prefect_home(home) / "server.log"
    # Two servers that make the tables of one new database at once break each other's.
    with ExitStack() as stack, _start_lock(prefect_home(home)), log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own module, a number
            [sys.executable, "-m", "deployments.server_process", HOST, str(port)],
            env=server_environment(home, api_url),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        stack.callback(_stop, process)
        meanwhile()
        _wait_until_healthy(api_url, process, log)
        started = stack.pop_all()
    with started:
        yield api_url


@contextmanager
def _start_lock(folder: Path) -> Iterator[None]:
    """One server of a history starts at a time; the lock dies with the process."""
    with (folder / "start.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _sharing(folder: Path) -> Iterator[bool]:
    """Whether no other command had a server on this history when the block began."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "servers.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone = True
        except BlockingIOError:
            alone = False
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield alone
    finally:
        os.close(descriptor)


def tidy_up() -> None:
    """Free what a killed command left behind: its runs are marked crashed, its concurrency slots are given back.

    Runs of deployments are none of ours: a worker on another server of this history may be at them.
    """
    from prefect import get_client  # noqa: PLC0415
    from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate  # noqa: PLC0415
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
        for limit in client.read_global_concurrency_limits():
            if limit.active_slots:
                client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(active_slots=0))


def server_environment(home: Path, api_url: str) -> dict[str, str]:
    """The environment of a server that works offline and whose dashboard finds its API on any port."""
    return os.environ | {
        "PREFECT_HOME": str(prefect_home(home)),
        "PREFECT_SERVER_UI_API_URL": api_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _send_what_is_queued() -> None:
    """Logs and events travel in the background; what still waits would be lost with the server.

    Or worse: at the process's end Prefect tries for a minute to send it to a server that is gone.
    """
    from prefect.events.worker import EventsWorker  # noqa: PLC0415
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    APILogWorker.drain_all(timeout=_STOP_TIMEOUT_S)
    EventsWorker.drain_all(timeout=_STOP_TIMEOUT_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_healthy(api_url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        if answers(api_url):
            return
        time.sleep(0.1)
    raise KitsError(
        f"the local Prefect server: expected an answer within {_START_TIMEOUT_S:.0f} s, got none "
        f"(exit status {process.poll()}); read {log}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
