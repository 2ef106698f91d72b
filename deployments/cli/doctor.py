"""`kits doctor`."""

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.output import complain, err, out, print_json, show_facts


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look at this machine: Python, CPU, graphics cards, memory, disk, catalog, server; measure a step and the disk.

    Each problem is named with its solution, and the exit status is then 1. It changes nothing.

    Example: `kits doctor`
    """
    from db.settings import Settings
    from deployments.doctor import examine

    with err.status("looks at the machine, half a minute"):
        found = examine(Settings())
    if as_json:
        print_json({"facts": found.facts, "problems": found.problems})
    else:
        show_facts(dict(_row(name, value) for name, value in found.facts.items()))
        for problem in found.problems:
            complain("problem", problem)
        if not found.problems:
            out.print("nothing is wrong", style="green")
    if found.problems:
        raise typer.Exit(1)


_MEASURED = {
    "reading_mb_per_s": ("reading", "{} MB/s from the home's disk"),
    "training_step_s": ("training step", "{:.2g} s at the demo's size: 64³, 16 filters, one case"),
    "first_step_s": ("first step", "{:.2g} s: it is compiled"),
}


def _row(name: str, value: object) -> tuple[str, str]:
    """A fact's name and value as the screen shows them."""
    if isinstance(value, dict):
        value = ", ".join(f"{package} {number}" for package, number in value.items())
    elif isinstance(value, list):
        value = "\n".join(map(str, value))
    title, form = _MEASURED.get(name, (name.replace("_", " "), "{}"))
    return title, form.format(value)
