"""`kits sql`, `kits status`, `kits tidy`, `kits catalog grant`."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.cli.app import App, AsJson, Group, app
from deployments.cli.differences import OF_RUNS, differing, in_words
from deployments.cli.files import check_new_file, write_csv
from deployments.cli.output import complain, out, print_json, say, show_table

if TYPE_CHECKING:
    from db.at_work import OngoingWork
    from db.settings import Settings

_STALE = "made from files of cases that were replaced since; prepare, train or evaluate again"

catalog = App(cls=Group, help="Who may read the catalog.\n\nExample: `kits catalog grant reader`", no_args_is_help=True)
app.add_typer(catalog, name="catalog")


@app.command()
def sql(
    query: Annotated[str | None, typer.Argument(help="One SQL query that only reads.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write the answer to this file.")] = None,
    parquet_file: Annotated[Path | None, typer.Option("--parquet", help="Write the answer to this file.")] = None,
    views: Annotated[bool, typer.Option("--views", help="Show the views and what their columns mean.")] = False,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds before the query is stopped.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Ask the catalog. Nothing can be changed by it. Worked queries: docs/queries.md.

    Example: `kits sql "SELECT case_name, tumor_dice FROM worst_case WHERE place <= 5"`
    """
    if views:
        _show_views()
        return
    if query is None:
        raise typer.BadParameter("give a query, or --views to see what there is to ask", param_hint="QUERY")
    from db.read_only import run_query
    from db.settings import Settings

    check_new_file(csv_file)
    check_new_file(parquet_file)
    columns, rows = run_query(Settings(), query, timeout)
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    if csv_file is not None:
        write_csv(csv_file, columns, rows)
    if parquet_file is not None:
        _write_parquet(parquet_file, columns, rows)
    if files := [file for file in (csv_file, parquet_file) if file is not None]:
        say(f"{len(rows)} rows in {' and '.join(map(str, files))}")
    elif as_json:
        print_json(records)
    elif records:
        show_table(records)
    else:
        out.print("no rows")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Cases by state, what is in quarantine and why, what is going on, runs and in what they differ, evaluations, disk.

    Runs whose process is gone are first marked as crashed.

    Example: `kits status`
    """
    from sqlalchemy.exc import DBAPIError

    from db.at_work import end_dead_rows, ongoing_work
    from db.read_only import run_query
    from db.settings import Settings

    settings = Settings()
    with suppress(DBAPIError):  # for a role that may only read
        end_dead_rows(settings, lambda flow_run: _was_cancelled(settings, flow_run))

    def ask(query: str) -> list[dict[str, Any]]:
        columns, rows = run_query(settings, query, trusted=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]

    differences = differing(ask(OF_RUNS))
    tables = {
        "cases": ask("SELECT dataset, status, COUNT(*) AS cases FROM case_overview GROUP BY 1, 2 ORDER BY 1, 2"),
        "problems": ask("SELECT dataset, case_name, stage, attempts, error FROM open_problem ORDER BY 1, 2, 3"),
        "stale": ask(
            "SELECT what, CASE WHEN what = 'prepared_case' THEN NULL ELSE number END AS number, dataset, "
            "COUNT(DISTINCT case_name) AS cases, MIN(case_name) AS first_case FROM stale GROUP BY 1, 2, 3 ORDER BY 1, 2"
        ),
        "going on": [_as_row(work) for work in ongoing_work(settings)],
        "runs": [
            row | {"differs in": in_words(differences.get(row["run"], {}))}
            for row in ask(
                "SELECT run_id AS run, model_id AS model, status, epochs_done AS epochs, best_score AS score, "
                "imported_from, error FROM run_overview ORDER BY run_id"
            )
        ],
        "evaluations": ask(
            "SELECT evaluation_id, model_id, subset, cases, kidney_dice, tumor_dice, is_champion "
            "FROM leaderboard ORDER BY evaluation_id"
        ),
        "disk": [
            {"folder": folder.name, "megabytes": _bytes_below(folder) / 1e6}
            for folder in (
                settings.raw,
                settings.incoming,
                settings.quarantine,
                settings.prepared,
                settings.runs,
                settings.predictions,
            )
            if folder.is_dir()
        ],
    }
    if as_json:
        print_json(tables | {"home": settings.home})
        return
    say(f"home: {settings.home}")
    for title, rows in tables.items():
        if rows:
            shown = _without_empty(rows, "imported_from", "error", "differs in") if title == "runs" else rows
            show_table(shown, f"{title}: {_STALE}" if title == "stale" else title)


def _without_empty(rows: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The rows without those of the named columns that no row has a value in."""
    empty = {name for name in names if not any(row[name] for row in rows)}
    return [{name: value for name, value in row.items() if name not in empty} for row in rows]


def _as_row(work: "OngoingWork") -> dict[str, Any]:
    said = work.said
    return {
        "what": work.what,
        "since": f"{said.since:%Y-%m-%d %H:%M} UTC" if said else None,
        "by": f"{said.user} on {said.host}, {said.how} (process {said.pid})" if said else "a process elsewhere",
        "dataset": work.dataset,
        "settings": work.settings,
    }


def _was_cancelled(settings: "Settings", flow_run_id: str) -> bool:
    from deployments.home_server import state_of

    return state_of(settings.home, flow_run_id) in ("CANCELLED", "CANCELLING")


def warn_of_stale(evaluation_id: int) -> None:
    """Warn if an evaluation's scores, or its model, depend on files that were replaced since."""
    from db.engine import reading_session
    from db.queries.evaluation import what_is_stale
    from db.settings import Settings

    with reading_session(Settings()) as session:
        for text in what_is_stale(session, evaluation_id):
            complain("stale", text)


@catalog.command()
def grant(
    name: Annotated[str, typer.Argument(help="Role of the PostgreSQL server; made where there is none.")],
    as_json: AsJson = False,
) -> None:
    """Let a role of PostgreSQL read the catalog, its later releases too, and nothing else: for `kits sql`, R, Metabase.

    A new role gets the password in $KITS_READER_PASSWORD, or one that is made and shown this once. A role that is there
    keeps its own, unless that variable is set.

    Example: `kits catalog grant reader`
    """
    from db.readers import grant_reader
    from db.settings import Settings

    chosen = os.environ.get("KITS_READER_PASSWORD")
    reader = grant_reader(Settings(), name, chosen or None)
    made = reader.password if reader.password != chosen else None
    if as_json:
        print_json({"role": reader.name, "address": reader.address, "password": made})
        return
    say(f"{reader.name} may read every table and view: {reader.address}")
    if made is not None:
        say(f"its password, which is not shown again: {made}")


def _write_parquet(path: Path, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    from kits_core.files import written_aside

    values = zip(*rows, strict=True) if rows else [()] * len(columns)
    table = pa.table([pa.array(list(column)) for column in values], names=columns)
    check_new_file(path)
    with written_aside(path) as aside:
        parquet.write_table(table, aside)


@app.command()
def tidy(
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is shown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what killed commands left in the home and nothing needs; `--yes` removes it.

    Example: `kits tidy --yes`
    """
    from tasks.leftovers import find_leftovers

    found = find_leftovers(remove=yes)
    if as_json:
        print_json([{"path": str(leftover.path), "bytes": leftover.bytes, "what": leftover.what} for leftover in found])
        return
    for leftover in found:
        say(f"{leftover.path}: {leftover.what}, {leftover.bytes / 1e6:.1f} MB")
    total = f"{len(found)} left over, {sum(leftover.bytes for leftover in found) / 1e6:.1f} MB"
    if not found:
        say("nothing is left over")
    else:
        say(f"{total}, removed" if yes else f"{total}; kits tidy --yes removes them")


def _show_views() -> None:
    from db.views import VIEWS

    for view in VIEWS:
        rows = [{"column": name, "meaning": meaning} for name, meaning in view.columns.items()]
        show_table(rows, f"{view.name}: {view.description}")


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
