"""One flow from the command line: the environment it needs, a server, progress, and an exit status."""

import os
from collections.abc import Callable
from importlib import import_module
from typing import TypeVar

from rich.console import Console

from db.settings import Settings
from deployments.server import HEARTBEAT_S, prefect_server
from kits_core.errors import KitsError

T = TypeVar("T")

_ENVIRONMENT = {
    # The terminal shows progress instead; the dashboard still gets every line.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "DASK_LOGGING__DISTRIBUTED": "warning",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
}


def run_flow(call: Callable[[], T], module: str, settings: Settings, console: Console) -> T:
    """Run `call`, which calls a flow of `module`, against the configured Prefect server or one of its own.

    `call` must import the flow itself: Prefect reads its environment when it is first imported. That takes seconds, so
    the module is imported while the server starts.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from prefect.exceptions import CancelledRun  # noqa: PLC0415

    from deployments.console import ConsoleProgress  # noqa: PLC0415
    from tasks.progress import listening  # noqa: PLC0415

    server = prefect_server(settings.home, meanwhile=lambda: import_module(module))
    with console.status("starting the Prefect server") as status, server as api_url:
        status.stop()
        console.print(f"[dim]follow it in the dashboard: {api_url.removesuffix('/api')}[/]", highlight=False)
        with ConsoleProgress(console) as progress, listening(progress):
            try:
                return call()
            except CancelledRun as error:
                raise KitsError(str(error)) from error
