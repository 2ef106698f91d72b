"""`kits demo`: the whole way on phantoms, offline."""

from pathlib import Path
from typing import TYPE_CHECKING

from deployments.cli.app import app
from deployments.cli.output import command, err, out, show_scores, show_table

if TYPE_CHECKING:
    from flows.evaluate import Evaluated
    from flows.parameters import PipelineParameters

CASES = 20
SEED = 7
DATASET = "phantoms"
QUERY = "SELECT case_name, kidney_dice, tumor_dice, tumor_ml FROM worst_case WHERE evaluation_id = {} ORDER BY place"


@app.command()
def demo() -> None:
    """Phantom patients from a local server to a report: ingest, prepare, split, train, evaluate. Needs no internet.

    After a stop or a kill it goes on where it was. Once finished, it answers at once.
    """
    from db.settings import Settings
    from deployments.running import run_flow
    from kits_core.phantom.server import DatasetServer

    settings = Settings()
    phantoms = settings.open_home() / "demo"
    phantoms.mkdir(parents=True, exist_ok=True)
    with DatasetServer(phantoms) as server:
        err.print(f"[dim]{CASES} phantom patients are served at {server.address}[/]", highlight=False)
        parameters = demo_parameters(server.address)
        done = run_flow("flows.pipeline:pipeline", parameters, err, meanwhile=lambda: _make_phantoms(phantoms))
    _close(done, settings.home)


def demo_parameters(source: str) -> "PipelineParameters":
    """The pipeline's settings for the demo: the usual code, a smaller grid and fewer filters."""
    from flows.parameters import PipelineParameters
    from kits_core.network.small import CONFIG, RECIPE

    return PipelineParameters(source=source, dataset=DATASET, replace_source=True, recipe=RECIPE, config=CONFIG)


def _make_phantoms(root: Path) -> None:
    from deployments.console import ConsoleProgress
    from kits_core.phantom.dataset import write_phantoms

    with ConsoleProgress(err) as progress:
        done: list[str] = []

        def on_case(name: str) -> None:
            done.append(name)
            progress.update("phantoms", len(done), CASES, name)

        write_phantoms(root, CASES, SEED, on_case=on_case)


def _close(done: "Evaluated", home: Path) -> None:
    from db.read_only import run_query
    from db.settings import Settings
    from deployments.home_note import dashboard_link, prefect_home, read_note

    show_scores(done.scores, f"Scores on held-out phantoms, original grid (evaluation {done.evaluation_id})")
    query = QUERY.format(done.evaluation_id)
    columns, rows = run_query(Settings(), query, trusted=True)
    out.print(f'\nAsk the catalog:\n  [bold]{command("kits")} sql "{query}"[/]', highlight=False, soft_wrap=True)
    show_table([dict(zip(columns, row, strict=True)) for row in rows])
    minutes, server = Settings().server_idle_minutes, read_note(prefect_home(home) / "server.json")
    now = f" (for {minutes:g} more minutes: {dashboard_link(home, server.api_url)})" if server and minutes else ""
    for title, line in (("Report:", str(done.report)), (f"Dashboard{now}:", f"{command('kits')} up")):
        out.print(f"\n{title}\n  [bold]{line}[/]", highlight=False, soft_wrap=True)
