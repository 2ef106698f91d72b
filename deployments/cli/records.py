"""`kits records`."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import AsJson, Dataset, app
from deployments.cli.output import complain, print_json, say, show_table

_SHOWN = 10


@app.command()
def records(
    file: Annotated[Path, typer.Argument(help="A CSV or XLSX file, a row a case.")],
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="What a column is, as --column Alter=age_years or --column 'Patient no=case'. Once for each.",
            show_default="columns of the catalog's names",
        ),
    ] = None,
    dataset: Dataset = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take what is shown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a table says of the cases of a dataset; `--yes` takes it into the catalog.

    Example: `kits records patients.xlsx --column "Alter=age_years" --column "Fall=case" --yes`
    """
    from kits_core.source.tables import parse_columns
    from tasks.records import merge_records

    merged = merge_records(file, parse_columns(column or []), dataset, write=yes)
    table, clinical = merged.table, merged.table.clinical
    problems = [str(problem) for problem in clinical.problems]
    if as_json:
        shown = {"dataset": merged.dataset, "cases": merged.cases, "columns": table.taken, "extra": table.extra}
        print_json({**shown, "unknown": merged.unknown, "problems": problems, "taken": yes})
        return
    show_table([{"column": theirs, "in the catalog": ours} for ours, theirs in table.taken.items()], "columns")
    if table.extra:
        say(f"under extra: {', '.join(table.extra)}")
    first = [{"case": one["case_id"], **_values(one, table.taken)} for one in clinical.records[:_SHOWN]]
    if first:
        show_table(first, f"the first {len(first)} of {len(clinical.records)} records")
    for problem in problems:
        complain("left out", problem)
    for name in merged.unknown[:_SHOWN]:
        complain("no such case", name)
    if len(merged.unknown) > _SHOWN:
        complain("no such case", f"and {len(merged.unknown) - _SHOWN} more")
    say(f"{merged.dataset}: {merged.cases} records of cases" + (", taken" if yes else "; --yes takes them"))


def _values(record: object, taken: object) -> dict[str, object]:
    return {name: record[name] for name in taken if name != "case"}  # type: ignore[attr-defined, index]
