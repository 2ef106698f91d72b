"""`kits plan`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.output import out, print_json, say, show_table

if TYPE_CHECKING:
    from kits_core.scan.find import Scan


@app.command()
def plan(
    scan: Annotated[Path, typer.Argument(help="A NIfTI file or a DICOM folder.", metavar="SCAN")],
    mask: Annotated[
        Path, typer.Argument(help="Its segmentation: NIfTI, NRRD (.seg.nrrd), DICOM SEG or RTSTRUCT.", metavar="MASK")
    ],
    folder: Annotated[Path, typer.Option("--out", help="Folder for the results, a folder of the scan's name in it.")],
    labels: Annotated[
        list[str] | None,
        typer.Option(
            "--label",
            help="What a name, or a value, is: NAME=kidney, tumor, cyst or background. Once for each; * is the rest.",
            show_default="usual names; values as in KiTS",
        ),
    ] = None,
    series: Annotated[
        str | None, typer.Option(help="SeriesInstanceUID, where a DICOM folder holds several CT series.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.001, max=1, help="Of a fractional DICOM SEG: the least share that counts.")
    ] = 0.5,
    other_series: Annotated[
        bool,
        typer.Option(
            "--other-series",
            help="Also take a SEG or RTSTRUCT of another series in the same frame of reference.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the surgical plan of a segmentation that you have: surfaces, measurements, a page to look at.

    Needs no model, no server and no catalog. Research only, not a medical device.

    Example: `kits plan exports/patient7 patient7.seg.nrrd --label "Renal mass=tumor" --out ./plans`
    """
    from datetime import UTC, datetime

    from kits_core.label_map import LabelMap
    from kits_core.plan.from_mask import plan_mask

    names = LabelMap.parse(labels or [])
    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    done = plan_mask(
        _one_scan(scan, series), mask, folder, names, created=created, threshold=threshold, other_series=other_series
    )
    remarks = (*done.planned.remarks, *done.notes)
    if as_json:
        print_json({"folder": done.folder, "page": done.page, "tumors": done.planned.tumors, "remarks": remarks})
        return
    if done.planned.tumors:
        show_table(done.planned.tumors, done.folder.name)
    for remark in remarks:
        say(f"{done.folder.name}: {remark}")
    say(f"plan: {done.page}")
    out.print("Research only. Not a medical device.", style="dim", highlight=False)


def _one_scan(path: Path, series: str | None) -> "Scan":
    from kits_core.errors import CaseError
    from kits_core.scan.find import find_scans

    found = find_scans([path], series=series)
    if found.refused and not found.scans:
        raise found.refused[0]
    if len(found.scans) != 1:
        names = ", ".join(scan.path.name for scan in found.scans)
        raise CaseError(
            str(path), expected="one scan", got=f"{len(found.scans)}: {names}", next_step="name one of them"
        )
    return found.scans[0]
