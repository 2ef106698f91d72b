"""`kits export`, `kits import`."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.files import check_new_file
from deployments.cli.output import complain, err, show_result

_MODEL = "model"


@app.command()
def export(
    what: Annotated[str, typer.Argument(help="nnunet, msd or pairs: a dataset in that layout; or model.")],
    which: Annotated[
        str | None,
        typer.Argument(
            help="The dataset's name in the catalog; the model: champion, latest, or its id.",
            show_default="the only dataset, the champion",
        ),
    ] = None,
    target: Annotated[
        Path, typer.Option("--out", help="Folder to write, empty or new; for a model, a new file (.kits.zip).")
    ] = ...,  # type: ignore[assignment]
    split: Annotated[
        int | None, typer.Option(help="Id of a split whose folds are written too (nnunet).", show_default="none")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a dataset for other software (nnU-Net, the Decathlon's layout, pairs), or a model for another home.

    Images are second names of the home's files where the file system allows it: do not change them in place.

    Example: `kits export nnunet kits23 --out Dataset220_KiTS23 --split 1`
    """
    if what == _MODEL:
        if split is not None:
            raise typer.BadParameter("a split goes with a dataset", param_hint="--split")
        _export_model(which or "champion", target, as_json=as_json)
    else:
        _export_dataset(what, which, target, split, as_json=as_json)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A model that `kits export model` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Take in a model of another home: checked by its hashes, with where it comes from. It is not made the champion.

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
