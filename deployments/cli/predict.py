"""`kits predict`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.options import Fields, Given, options_of
from deployments.cli.output import complain, err, out, print_json, say, show_table

if TYPE_CHECKING:
    from flows.predict import Predicted


@app.command()
@options_of(Fields("flows.parameters:PredictParameters", ("scans", "out", "watch", "settle_seconds")))
def predict(
    scans: Annotated[
        list[Path],
        typer.Argument(help="NIfTI, NRRD or MetaImage files, folders of them, or DICOM folders.", metavar="SCAN..."),
    ],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the results, a folder a scan in it.")],
    given: Given,
    as_json: AsJson = False,
) -> None:
    """Segment scans and write a surgical plan for each: segmentation, surfaces, measurements, a page to look at.

    Research only, not a medical device. A scan that is refused is named with the reason, the others go on, and the exit
    status is 1.

    Example: `kits predict ct.nii.gz exports/patient7 --out ./plans`
    """
    from deployments.running import run_flow
    from flows.parameters import PredictParameters

    named = [str(scan) for scan in scans]
    if given.get("deidentify"):
        from deployments.hidden import hidden, hidden_paths

        named = hidden_paths(scans)
        given |= {"series": hidden(given["series"])} if "series" in given else {}
    parameters = PredictParameters(scans=named, out=str(folder), **given)
    done = run_flow("flows.predict:predict", parameters, err)
    if as_json:
        from dataclasses import asdict

        print_json(asdict(done))
    else:
        _show(done)
        if parameters.deidentify:
            out.print("kits reidentify PSEUDONYM says whose it is", style="dim", highlight=False)
    for reason in done.refused:
        complain("refused", reason)
    if done.refused:
        raise typer.Exit(1)


def _show(done: "Predicted") -> None:
    for scan in done.planned:
        if scan.tumors:
            show_table(scan.tumors, scan.scan)
        for remark in scan.remarks:
            say(f"{scan.scan}: {remark}")
        say(f"plan: {scan.page}")
    for path in done.done:
        say(f"planned before: {path}")
    if done.planned:
        out.print("Research only. Not a medical device.", style="dim", highlight=False)
