"""`kits correct`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.output import complain, err, print_json, say, show_result

if TYPE_CHECKING:
    from flows.correct import Corrected


@app.command()
def correct(
    what: Annotated[
        str,
        typer.Argument(
            help="A case of the catalog, or the folder of a plan that kits predict wrote.", metavar="CASE_OR_PLAN"
        ),
    ],
    mask: Annotated[
        Path | None,
        typer.Argument(
            help="The corrected segmentation: NIfTI, NRRD (.seg.nrrd), DICOM SEG or RTSTRUCT.", metavar="MASK"
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="What a name, or a value, is: NAME=kidney, tumor, cyst or background. Once for each; * is the rest.",
            show_default="usual names; values as in KiTS",
        ),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who corrected it.", show_default="your account's name")] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Name in the catalog; of a plan, the dataset that its scan comes into.",
            show_default="the case's; of a plan, corrections",
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the new plan of a corrected plan.", show_default="the old one's"),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the correction of a case away; it is kept.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a mask that a person corrected the reference of its case, or a case of a corrected plan.

    Later ingestions keep the correction. What was scored, prepared or trained on the old reference is stale.

    Example: `kits correct case_00042 case_00042.seg.nrrd --by "Dr Adams"`
    """
    if undo:
        _undo(what, mask, dataset, as_json=as_json)
        return
    if mask is None:
        raise typer.BadParameter("name the corrected segmentation, or give --undo", param_hint="MASK")
    from deployments.running import run_flow
    from flows.parameters import CorrectParameters
    from kits_core.label_map import words_of

    parameters = CorrectParameters(
        what=what,
        mask=_named(what, mask),
        labels=words_of(label or []),
        by=by,
        dataset=dataset,
        out=str(folder) if folder else None,
    )
    done = run_flow("flows.correct:correct", parameters, err)
    for note in done.notes:
        complain("note", note)
    show_result(done, as_json=as_json, text=_text(done, mask))


def _named(what: str, mask: Path) -> str:
    """The mask's path, absolute; its pseudonym where the case or the plan has one: nobody is to be named."""
    from kits_core.plan.record import is_plan, read_plan
    from kits_core.pseudonyms import is_pseudonym

    folder = Path(what).expanduser()
    shown = read_plan(folder).source if is_plan(folder) else what
    absolute = mask.expanduser().absolute()
    if not is_pseudonym(shown):
        return str(absolute)
    from deployments.hidden import hidden_paths

    return hidden_paths([absolute])[0]


def _text(done: "Corrected", mask: Path) -> str:
    if done.changed:
        text = f"{done.dataset}: {done.case} has {mask.name} as its reference now (kits status names what is stale)"
    else:
        text = f"{done.dataset}: {done.case} has just this reference already: nothing to do"
    return f"{text}\nplan: {done.page}" if done.page else text


def _undo(what: str, mask: Path | None, dataset: str | None, *, as_json: bool) -> None:
    if mask is not None:
        raise typer.BadParameter("--undo takes a case alone", param_hint="MASK")
    from tasks.correct import undo_correction

    target, kept = undo_correction(what, dataset)
    if as_json:
        print_json({"dataset": target.dataset, "case": target.name, "kept": kept})
        return
    say(f"{target.dataset}: the correction of {target.name} is taken away, and kept as {kept}")
    say("the next kits ingest brings the reference of its source back")
