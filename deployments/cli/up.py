"""`kits up`."""

import os
from typing import Annotated

import typer

from deployments.cli.app import app
from deployments.cli.output import out

_AUTH = "PREFECT_SERVER_API_AUTH_STRING"


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address that the server binds to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the dashboard and the API.", min=1, max=65535)] = 4200,
    database: Annotated[
        str | None,
        typer.Option(
            help="postgresql://… for the catalog and Prefect's own state.",
            envvar="KITS_UP_DATABASE",
            show_default="SQLite in the home",
        ),
    ] = None,
) -> None:
    """Start everything on this machine: server, dashboard, work pools, deployments, automations, workers.

    Ctrl-C ends all of it. What dies is started again. Given twice for a home, the second says where the first is.

    Example: `KITS_UP_DATABASE=postgresql://kits:secret@db.example/kits kits up`
    """
    from db.settings import Settings
    from kits_core.errors import KitsError

    if host not in ("127.0.0.1", "localhost", "::1") and not os.environ.get(_AUTH):
        raise KitsError(
            f"--host {host}: expected a password for everyone who can reach it, got none; set {_AUTH}=user:password, "
            "and PREFECT_API_AUTH_STRING to the same for clients"
        )
    if os.environ.get(_AUTH):
        os.environ.setdefault("PREFECT_API_AUTH_STRING", os.environ[_AUTH])
    if database is not None:
        os.environ["KITS_DATABASE_URL"] = database
    settings = Settings()
    settings.open_home()

    from deployments.home_server import is_held, prefect_home, running_server
    from deployments.up.database import ensure_prefect_database
    from deployments.up.machine import Machine, Place, ended_by_signals, sole_machine

    if is_held(prefect_home(settings.home) / "up.lock") and (running := running_server(settings.home)):
        out.print(f"it is up already: {running.removesuffix('/api')}", highlight=False)
        return
    place = Place(settings.home, host, port, ensure_prefect_database(settings.catalog_url) if database else None)
    machine = Machine(place)
    with sole_machine(place), ended_by_signals(machine):
        try:
            with out.status("starting the server"):
                machine.start_server()
            with out.status("pools, deployments, automations"):
                machine.furnish()
            machine.start_workers()
            out.print(f"dashboard: {place.dashboard}", highlight=False)
            out.print(f"home: {settings.home}. Ctrl-C ends everything.", highlight=False, soft_wrap=True)
            for line in machine.watch():
                out.print(line, highlight=False, soft_wrap=True)
        finally:
            with out.status("ending workers and server"):
                machine.stop()
    out.print("ended")
