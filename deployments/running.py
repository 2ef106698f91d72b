"""One flow from the command line: the environment it needs, a server, progress, and an exit status."""

import gc
import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import httpx
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape

from db.settings import Settings
from deployments.home_note import dashboard_link
from deployments.server import prefect_server
from kits_core.errors import KitsError

_ENVIRONMENT = {
    # The terminal shows progress instead; the dashboard still gets every line.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "DASK_LOGGING__DISTRIBUTED": "warning",
}


def run_flow(flow: str, parameters: BaseModel, console: Console, meanwhile: Callable[[], object] | None = None) -> Any:
    """Run a flow against the configured Prefect server or the home's; what it returns.

    `flow`: its module and name, as `flows.split:split`. Prefect reads its environment when it is first imported, and
    the import takes seconds, so it is made here, while the server starts. `meanwhile` is called then too. The
    parameters have been validated already.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    gc.disable()  # it takes a fifth of the time of the imports, which leave no garbage
    from prefect.exceptions import CancelledRun, PrefectHTTPStatusError  # noqa: PLC0415

    from db.engine import open_catalog  # noqa: PLC0415 - which imports SQLAlchemy
    from deployments.console import ConsoleProgress  # noqa: PLC0415
    from tasks.progress import listening  # noqa: PLC0415

    settings = Settings()
    settings.open_home()
    settings.check_one_catalog()
    module, _, function = flow.partition(":")

    def while_the_server_starts() -> None:
        if meanwhile is not None:
            meanwhile()
        import_module(module)

    def set_right(*, alone: bool = False) -> None:
        from deployments import dead_runs  # noqa: PLC0415 - which imports Prefect

        for line in dead_runs.set_right(settings, alone=alone):
            console.print(f"[dim]{escape(line)}[/]", highlight=False, soft_wrap=True)

    server = prefect_server(
        settings.home,
        idle_s=60 * settings.server_idle_minutes,
        meanwhile=while_the_server_starts,
        alone=partial(set_right, alone=True),
        waits=lambda text: console.print(f"[dim]{text}[/]", highlight=False),
    )
    try:
        with console.status("starting the Prefect server") as status, server as api_url:
            status.stop()
            gc.enable()
            set_right()
            open_catalog(settings)
            settings.remember_catalog()
            link = dashboard_link(settings.home, api_url)
            console.print(f"[dim]follow it in the dashboard: {link}[/]", highlight=False, soft_wrap=True)
            with ConsoleProgress(console) as progress, listening(progress):
                return getattr(import_module(module), function)(parameters)
    except CancelledRun as error:
        raise KitsError(str(error)) from error
    except PrefectHTTPStatusError as error:
        if error.response.status_code != httpx.codes.UNAUTHORIZED:
            raise
        raise KitsError(
            f"the Prefect server at {error.request.url.host}:{error.request.url.port}: expected its password in "
            "PREFECT_API_AUTH_STRING, got none or another; set it (a home's is in its file prefect/auth-string), or "
            "unset PREFECT_API_URL, and kits uses the home's own server"
        ) from error
    finally:
        gc.enable()
