"""`kits ingest`, `kits prepare`, `kits split`."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.options import Fields, Given, of, options_of
from deployments.cli.output import complain, err, show_result

_NOTES_SHOWN = 10


@app.command()
@options_of(Fields("flows.parameters:IngestParameters", ("labels",)))
def ingest(
    given: Given,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="What a name or a value of a structure means, as --label 'renal mass=tumor' or --label 2=tumor; "
            "kidney, tumor, cyst, background. Once for each.",
            show_default="usual names",
        ),
    ] = None,
    label_map: Annotated[
        Path | None, typer.Option(help="A YAML file of these, a line 'renal mass: tumor' each.", show_default="none")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download, verify and convert cases. Unchanged files that are already there are not fetched again.

    Example: `kits ingest --source ./Dataset501_Renal --label 'renal mass=tumor'`
    """
    from deployments.running import run_flow
    from flows.parameters import IngestParameters
    from kits_core.label_map import read_label_map, words_of
    from kits_core.source.preset import LICENCE, NAME

    labels = (read_label_map(label_map) if label_map else {}) | words_of(label or [])
    parameters = IngestParameters(**given, **({"labels": labels} if labels else {}))
    if parameters.deidentify:
        from deployments.hidden import hidden, hidden_source

        places = {"source": hidden_source(parameters.source), "cases": hidden(parameters.cases)}
        parameters = parameters.model_copy(update=places)
    if parameters.source == NAME:
        err.print(LICENCE, highlight=False)
    done = run_flow("flows.ingest:ingest", parameters, err)
    text = f"{done.dataset}: {done.chosen} cases, {done.brought_in} brought in now"
    if done.refused:
        text += f", {done.refused} in quarantine (kits status tells why; the next ingest tries them again)"
    if done.vanished:
        text += f", {done.vanished} with files that the source has no longer (kept)"
    for note in done.notes[:_NOTES_SHOWN]:
        complain("note", note)
    if len(done.notes) > _NOTES_SHOWN:
        complain("note", f"and {len(done.notes) - _NOTES_SHOWN} more, in the run's log and in kits status")
    show_result(done, as_json=as_json, text=text)


@app.command()
@options_of(
    Fields("kits_core.recipe.recipe:Recipe", ("locator",), panel="Recipe"),
    Fields("flows.parameters:PrepareParameters", ("recipe",)),
)
def prepare(given: Given, as_json: AsJson = False) -> None:
    """Resample ingested cases onto a network's grid, and measure what that costs.

    Example: `kits prepare --frame kidneys --shape 128`
    """
    from deployments.running import run_flow
    from flows.parameters import PrepareParameters
    from kits_core.recipe import Recipe

    settings, others = of(Recipe, given), of(PrepareParameters, given)
    if "for_model" in others and settings:
        raise typer.BadParameter("--for takes the recipe of the model: leave out --frame, --shape and the like")
    parameters = PrepareParameters(recipe=Recipe(**settings), **others)
    done = run_flow("flows.prepare:prepare", parameters, err)
    text = f"{done.dataset}: {done.prepared} cases prepared by recipe {done.recipe_hash}, {done.made_now} of them now"
    if done.refused:
        text += f", {done.refused} refused (kits status tells why)"
    show_result(done, as_json=as_json, text=text)


@app.command()
@options_of(Fields("flows.parameters:SplitParameters"))
def split(given: Given, as_json: AsJson = False) -> None:
    """Split ingested cases into training and validation, stratified, the same on every machine.

    Example: `kits split --validation 0.2 --seed 23`
    """
    from deployments.running import run_flow
    from flows.parameters import SplitParameters

    made = run_flow("flows.split:split", SplitParameters(**given), err)
    text = f"split {made.split_id} of {made.dataset}: {made.train} for training, {made.validation} for validation"
    show_result(made, as_json=as_json, text=text)
