"""`kits forget`."""

from typing import Annotated

import typer

from deployments.cli.app import AsJson, Dataset, app
from deployments.cli.output import complain, print_json, say


@app.command()
def forget(
    cases: Annotated[
        str | None, typer.Argument(help="Cases: ids, names or patterns, as 0-9,'site1_*'; '*' for all.")
    ] = None,
    dataset: Dataset = None,
    patient: Annotated[str | None, typer.Option(help="All of a patient's, by the id in records and plans.")] = None,
    scan: Annotated[str | None, typer.Option(help="What was predicted for scans of this name.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Remove what is shown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show all that the home holds of cases, a patient or a predicted scan; `--yes` removes it for good.

    Models trained on the cases stay, and the catalog keeps the number of forgotten cases. A forgotten case does not
    come in again. Prefect's own database keeps names of runs and their logs: docs/patients.md.

    Example: `kits forget --patient 4711 --yes`
    """
    if cases is None and patient is None and scan is None:
        raise typer.BadParameter("name cases, or give --patient or --scan", param_hint="CASES")
    from tasks.forget import find_forgettable
    from tasks.forget import forget as remove

    found = find_forgettable(cases, dataset=dataset, patient=patient, scan=scan)
    if yes:
        remove(found)
    if as_json:
        shown = {"names": found.names, "files": found.files, "reports": found.reports, "kept": found.kept}
        print_json({**shown, "removed": yes})
        return
    for name in found.names:
        say(name)
    for path in (*found.files, *found.reports):
        say(f"  {path}")
    for line in found.kept:
        complain("stays", line)
    total = f"{len(found.cases)} cases, {len(found.predictions)} predictions, {len(found.files)} files and folders"
    if found.reports:
        total += f", {len(found.reports)} reports (kits report builds them again)"
    say(f"{total}: removed" if yes else f"{total}; --yes removes them for good")
