"""`kits ingest`, `kits prepare`, `kits split`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli.app import AsJson, CystTo, Dataset, Deidentify, Frame, Seed, Shape, Spacing, app
from deployments.cli.output import complain, err, show_result

_NOTES_SHOWN = 10


def given(**options: Any) -> dict[str, Any]:
    """The options that were given. The others take their defaults from the flow's parameters."""
    return {name: value for name, value in options.items() if value is not None}


@app.command()
def ingest(
    source: Annotated[
        str | None,
        typer.Option(
            help="kits23, a URL in the official layout, or a folder in any of the layouts.", show_default="kits23"
        ),
    ] = None,
    cases: Annotated[
        str | None, typer.Option(help="Ids, as 0-9,400, names, or patterns, as 'site1_*'.", show_default="all")
    ] = None,
    layout: Annotated[
        str | None, typer.Option(help="How a folder's files lie: kits, nnunet, msd, pairs, dicom.", show_default="look")
    ] = None,
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
    images: Annotated[
        str | None, typer.Option(help="Where scans lie below the folder, as 'ct/{case}.nii.gz'.", show_default="look")
    ] = None,
    masks: Annotated[
        str | None, typer.Option(help="Where masks lie, as 'seg/{case}_seg.nii.gz'.", show_default="look")
    ] = None,
    replace_source: Annotated[
        bool | None, typer.Option("--replace-source", help="The dataset's data moved: they come from here from now on.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Cases downloaded at once.", show_default="8")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name in the catalog.", show_default="the source's")] = None,
    megabytes_per_second: Annotated[
        float | None, typer.Option(help="Most that is downloaded in a second.", show_default="no limit")
    ] = None,
    keep_archives: Annotated[
        bool | None, typer.Option("--keep-archives", help="Keep the .nii.gz files beside the converted ones.")
    ] = None,
    deidentify: Deidentify = False,
    as_json: AsJson = False,
) -> None:
    """Download, verify and convert cases. Unchanged files that are already there are not fetched again.

    Example: `kits ingest --source ./Dataset501_Renal --label 'renal mass=tumor'`
    """
    from deployments.running import run_flow
    from flows.parameters import IngestParameters
    from kits_core.label_map import read_label_map, words_of
    from kits_core.source.preset import LICENCE, NAME

    options = given(
        source=source,
        cases=cases,
        layout=layout,
        labels=(read_label_map(label_map) if label_map else {}) | words_of(label or []) or None,
        images=images,
        masks=masks,
        replace_source=replace_source,
        workers=workers,
        dataset=dataset,
        megabytes_per_second=megabytes_per_second,
        keep_archives=keep_archives,
        deidentify=deidentify or None,
    )
    parameters = IngestParameters(**options)
    if deidentify:
        from deployments.hidden import hidden, hidden_source

        places = {"source": hidden_source(parameters.source), "cases": hidden(cases)}
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
def prepare(
    frame: Frame = None,
    shape: Shape = None,
    spacing: Spacing = None,
    cyst_to: CystTo = None,
    for_model: Annotated[
        str | None,
        typer.Option("--for", help="champion, latest, or a model's id: by this model's recipe.", show_default="none"),
    ] = None,
    dataset: Dataset = None,
    workers: Annotated[int | None, typer.Option(help="Cases prepared at once.", show_default="2")] = None,
    as_json: AsJson = False,
) -> None:
    """Resample ingested cases onto a network's grid, and measure what that costs.

    Example: `kits prepare --frame kidneys --shape 128`
    """
    from deployments.running import run_flow
    from flows.parameters import PrepareParameters
    from kits_core.recipe import Recipe

    settings = given(frame=frame, shape=shape, spacing_mm=spacing, cyst_to=cyst_to)
    if for_model is not None and settings:
        raise typer.BadParameter("--for takes the recipe of the model: leave out --frame, --shape and the like")
    others = given(for_model=for_model, dataset=dataset, workers=workers)
    parameters = PrepareParameters(recipe=Recipe(**settings), **others)
    done = run_flow("flows.prepare:prepare", parameters, err)
    text = f"{done.dataset}: {done.prepared} cases prepared by recipe {done.recipe_hash}, {done.made_now} of them now"
    if done.refused:
        text += f", {done.refused} refused (kits status tells why)"
    show_result(done, as_json=as_json, text=text)


@app.command()
def split(
    validation: Annotated[
        float | None, typer.Option(help="Share of the cases held out of training.", show_default="0.2")
    ] = None,
    folds: Annotated[int | None, typer.Option(help="Folds of a cross-validation.", show_default="none")] = None,
    seed: Seed = None,
    own: Annotated[
        str | None,
        typer.Option(
            "--from", help="File with folds of your own: nnU-Net's splits_final.json, or a CSV.", show_default="none"
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(help="Id of a split: its cases stay where they are, new ones join them.", show_default="none"),
    ] = None,
    dataset: Dataset = None,
    as_json: AsJson = False,
) -> None:
    """Split ingested cases into training and validation, stratified, the same on every machine.

    Example: `kits split --validation 0.2 --seed 23`
    """
    from deployments.running import run_flow
    from flows.parameters import SplitParameters

    settings = given(validation=validation, folds=folds, seed=seed, own=own, keep=keep, dataset=dataset)
    parameters = SplitParameters(**settings)
    made = run_flow("flows.split:split", parameters, err)
    text = f"split {made.split_id} of {made.dataset}: {made.train} for training, {made.validation} for validation"
    show_result(made, as_json=as_json, text=text)
