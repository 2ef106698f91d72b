"""`kits up`."""

import os
from typing import Annotated

import typer

from deployments.cli.app import app
from deployments.cli.output import out, say


@app.command()
def up(
    host: Annotated[str, typer.Option(help="Address that the server binds to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the dashboard and the API.", min=1, max=65535)] = 4200,
    database: Annotated[
        str | None,
        typer.Option(
            help="postgresql://… for the catalog and Prefect's own state; the home remembers it.",
            envvar="KITS_UP_DATABASE",
            show_default="what the home remembers, else SQLite in it",
        ),
    ] = None,
    no_password: Annotated[
        bool,
        typer.Option(
            "--no-password",
            help="Let everyone on this machine in: each of its users can then see all runs, and run code as you. Pages "
            "of other sites are kept out all the same.",
        ),
    ] = False,
) -> None:
    """Start everything on this machine: server, dashboard, work pools, deployments, automations, workers.

    Ctrl-C ends everything. A part that dies is started again. A second call for the same home says where the first is.
    The printed link logs a browser in. It contains the home's password: keep it secret.

    Example: `KITS_UP_DATABASE=postgresql://kits:secret@db.example/kits kits up`
    """
    from db.home_catalog import remembered
    from db.settings import Settings
    from deployments.proxies import LOOPBACK
    from kits_core.errors import KitsError

    if no_password and host not in LOOPBACK:
        raise KitsError(
            f"--no-password: expected a server that this machine alone reaches, got --host {host}; leave out one of "
            "the two"
        )
    if database is not None:
        os.environ["KITS_DATABASE_URL"] = database
    settings = Settings()
    settings.open_home()
    known = remembered(settings.home)
    settings.check_one_catalog()

    from deployments.home_note import dashboard_link, prefect_home
    from deployments.home_server import is_held, running_server
    from deployments.up.database import ensure_prefect_database
    from deployments.up.machine import Machine, Place, ended_by_signals, sole_machine

    if is_held(prefect_home(settings.home) / "up.lock") and (running := running_server(settings.home)):
        say(f"it is up already: {dashboard_link(settings.home, running)}")
        return
    beside = database is not None or (known is not None and known.prefect)
    prefects = ensure_prefect_database(settings.catalog_url) if beside else None
    settings.remember_catalog(prefect=beside)
    place = Place(settings.home, host, port, prefects, password=not no_password)
    machine = Machine(place)
    with sole_machine(place), ended_by_signals(machine):
        try:
            with out.status("starting the server"):
                machine.start_server(waits=say)
            with out.status("pools, deployments, automations"):
                machine.furnish(waits=say)
            machine.start_workers()
            say(f"dashboard: {dashboard_link(settings.home, place.api_url)}")
            say(f"home: {settings.home}. Ctrl-C ends everything.")
            for line in machine.watch():
                say(line)
        finally:
            with out.status("ending workers and server"):
                machine.stop()
    out.print("ended")
