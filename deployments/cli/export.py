"""`kits export`."""

from pathlib import Path
from typing import Annotated

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.output import err, show_result


@app.command()
def export(
    layout: Annotated[str, typer.Argument(help="nnunet, msd or pairs.")],
    dataset: Annotated[str | None, typer.Argument(help="Name in the catalog.", show_default="the only one")] = None,
    out: Annotated[Path, typer.Option(help="Folder to write: an empty one, or a new one.")] = ...,  # type: ignore[assignment]
    split: Annotated[
        int | None, typer.Option(help="Id of a split whose folds are written too (nnunet).", show_default="none")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a dataset for other software: nnU-Net, the Decathlon's layout, or pairs of images and masks.

    Images are second names of the home's files where the file system allows it: do not change them in place.

    Example: `kits export nnunet kits23 --out Dataset220_KiTS23 --split 1`
    """
    from deployments.console import ConsoleProgress
    from tasks.export import check_out, export_dataset

    out = check_out(out)
    with ConsoleProgress(err) as progress:
        done = export_dataset(
            layout, dataset, out, split, lambda n, total, case: progress.update("export", n, total, case)
        )
    text = f"{done.dataset}: {done.cases} cases, {done.references} with a mask, in {done.folder}"
    if done.folds:
        text += f", with {done.folds} {'fold' if done.folds == 1 else 'folds'}"
    show_result(done, as_json=as_json, text=text)
