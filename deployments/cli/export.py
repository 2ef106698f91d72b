"""`kits export`, `kits import`."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.files import check_new_file
from deployments.cli.output import complain, err, show_result

_MODEL, _PREDICTIONS = "model", "predictions"


@app.command()
def export(
    what: Annotated[str, typer.Argument(help="nnunet, msd or pairs: a dataset in that layout; model; or predictions.")],
    which: Annotated[
        str | None,
        typer.Argument(
            help="The dataset's name in the catalog; the model: champion, latest, or its id; the evaluation's id.",
            show_default="the only dataset, the champion, the newest evaluation",
        ),
    ] = None,
    target: Annotated[
        Path, typer.Option("--out", help="Folder to write, empty or new; for a model, a new file (.kits.zip).")
    ] = ...,  # type: ignore[assignment]
    split: Annotated[
        int | None, typer.Option(help="Id of a split whose folds are written too (nnunet).", show_default="none")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Predictions of this model's newest evaluation.", show_default="none")
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="Of predictions: plain, kits (a folder a case) or nnunet.", show_default="plain"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a dataset for other software, a model for another home, or an evaluation's predictions and scores.

    Images are hard links to the home's files where the file system allows it: do not change them in place.

    Example: `kits export nnunet kits23 --out Dataset220_KiTS23 --split 1`
    """
    if split is not None and what in (_MODEL, _PREDICTIONS):
        raise typer.BadParameter("a split goes with a dataset", param_hint="--split")
    if what != _PREDICTIONS and (model or layout):
        raise typer.BadParameter("goes with predictions", param_hint="--model" if model else "--layout")
    if what == _PREDICTIONS:
        _export_predictions(which, model, layout or "plain", target, as_json=as_json)
    elif what == _MODEL:
        _export_model(which or "champion", target, as_json=as_json)
    else:
        _export_dataset(what, which, target, split, as_json=as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A model that `kits export model` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Import a model of another home. Its hashes are checked and its origin is kept. It does not become the champion.

    Example: `kits import model3.kits.zip`
    """
    from tasks.import_model import import_model

    done = import_model(file)
    text = f"model {done.model_id} (run {done.run_id})"
    if done.locator_id is not None:
        text += f", model {done.locator_id} finds the kidneys for it"
    show_result(
        done,
        as_json=as_json,
        text=f"{text}; {done.origin}\nkits predict SCAN --out DIR --model {done.model_id} uses it",
    )


def _export_dataset(layout: str, dataset: str | None, target: Path, split: int | None, *, as_json: bool) -> None:
    from deployments.console import ConsoleProgress
    from tasks.export import check_out, export_dataset

    target = check_out(target)
    with ConsoleProgress(err) as progress:
        done = export_dataset(
            layout, dataset, target, split, lambda n, total, case: progress.update("export", n, total, case)
        )
    text = f"{done.dataset}: {done.cases} cases, {done.references} with a mask, in {done.folder}"
    if done.folds:
        text += f", with {done.folds} {'fold' if done.folds == 1 else 'folds'}"
    show_result(done, as_json=as_json, text=text)


def _export_model(wanted: str, target: Path, *, as_json: bool) -> None:
    check_new_file(target)
    from tasks.export_model import export_model

    done = export_model(wanted, target.expanduser().absolute(), lambda text: complain("note", text))
    models = " and ".join(f"model {number}" for number in reversed(done.models))
    show_result(done, as_json=as_json, text=f"{models}, {done.bytes / 1e6:.1f} MB, in {done.file}")


def _export_predictions(evaluation: str | None, model: str | None, layout: str, target: Path, *, as_json: bool) -> None:
    from deployments.console import ConsoleProgress
    from tasks.export import check_out
    from tasks.export_predictions import export_predictions

    if evaluation is not None and (model is not None or not evaluation.isdecimal()):
        raise typer.BadParameter("give the id of an evaluation, or --model alone", param_hint="WHICH")
    target = check_out(target)
    number = None if evaluation is None else min(int(evaluation), 2**31 - 1)
    with ConsoleProgress(err) as progress:
        done = export_predictions(
            number, model, layout, target, lambda n, total, case: progress.update("export", n, total, case)
        )
    text = f"evaluation {done.evaluation_id}: {done.cases} predictions and scores.csv in {done.folder}"
    if done.missing:
        text += f"; without a prediction: {', '.join(done.missing)}"
    show_result(done, as_json=as_json, text=text)
