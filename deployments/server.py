"""A Prefect server for the length of one command, its history kept in the home."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from kits_core.errors import KitsError

HOST = "127.0.0.1"
_START_TIMEOUT_S = 120.0
_STOP_TIMEOUT_S = 15.0


def prefect_home(home: Path) -> Path:
    """Where the server of a home keeps its database: `PREFECT_HOME` to look at the same history with any server."""
    return home / "prefect"


@contextmanager
def prefect_server(home: Path) -> Iterator[str]:
    """Yields the address of the API to use: the one that the user has configured, or a local server's.

    The configured one comes from Prefect's own settings (`PREFECT_API_URL` or the active profile). The local server
    is ended with the block, or with this process if that is killed. Raises `KitsError` if it does not come up.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: PLC0415 - half a second

    if configured := PREFECT_API_URL.value():
        yield configured
        return
    port = _free_port()
    api_url = f"http://{HOST}:{port}/api"
    log = prefect_home(home) / "server.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own module, a number
            [sys.executable, "-m", "deployments.server_process", HOST, str(port)],
            env=server_environment(home, api_url),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_healthy(api_url, process, log)
        # Prefect's background threads read the environment, the calling thread reads the context: both must say it.
        os.environ["PREFECT_API_URL"] = api_url
        with temporary_settings({PREFECT_API_URL: api_url}):
            yield api_url
            _send_what_is_queued()
    finally:
        os.environ.pop("PREFECT_API_URL", None)
        _stop(process)


def server_environment(home: Path, api_url: str) -> dict[str, str]:
    """The environment of a server that works offline and whose dashboard finds its API on any port."""
    return os.environ | {
        "PREFECT_HOME": str(prefect_home(home)),
        "PREFECT_SERVER_UI_API_URL": api_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _send_what_is_queued() -> None:
    """Logs and events travel in the background; what still waits would be lost with the server."""
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
        try:
            if httpx.get(f"{api_url}/health", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
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
