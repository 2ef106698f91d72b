"""A segmentation that a person corrected comes back as a reference."""

import getpass
from dataclasses import dataclass
from pathlib import Path

from prefect.artifacts import create_markdown_artifact

from db.settings import current_settings
from flows.artifacts import link, listed, markdown
from flows.outcomes import completed, counted
from flows.parameters import CorrectParameters, LaidParameters
from flows.stage import stage
from kits_core.errors import KitsError
from kits_core.label_map import LabelMap
from kits_core.plan.files import PAGE
from kits_core.plan.record import is_plan
from kits_core.pseudonyms import is_pseudonym
from tasks.catalog import reading
from tasks.correct import Correction, take_correction
from tasks.correct_plan import SOURCE, plan_correction, take_plan
from tasks.events import dataset_changed
from tasks.ingest import ingest_case
from tasks.laid_masks import find_laid, put_away, what_it_corrects
from tasks.names import hide_path
from tasks.source import SourceRequest
from tasks.turns import take_turns


@dataclass(frozen=True)
class Corrected:
    """The case with the corrected reference. `changed`: whether the reference differs from before.

    `page`: of the plan of the corrected mask, where a plan was corrected. `notes`: how the mask was read.
    """

    dataset: str
    case: str
    changed: bool
    page: Path | None = None
    notes: tuple[str, ...] = ()


@stage(CorrectParameters, persist_result=False)
def correct(parameters: CorrectParameters) -> Corrected:
    """Keep the mask as the overlay of a case, update the case, and make a corrected plan again. Asks no source."""
    asked = Correction(
        parameters.what,
        parameters.mask,
        parameters.by or getpass.getuser(),
        LabelMap.of(parameters.labels),
        parameters.dataset,
        Path(parameters.out) if parameters.out else None,
    )
    of_plan = is_plan(Path(asked.what).expanduser())
    if asked.out and not of_plan:
        raise KitsError(f"{asked.what}: expected the folder of a plan with --out, got a case; omit --out")
    with take_turns("corrections", "corrects a reference"):
        taken, plan = take_plan(asked) if of_plan else (take_correction(asked), None)
        notes: tuple[str, ...] = ()
        if taken.bring is not None:
            notes = ingest_case(
                SourceRequest(SOURCE, deidentify=taken.bring.deidentify), taken.bring, keep_archives=False
            )
        page = None if plan is None else (plan.folder if plan.is_there else plan_correction(plan)) / PAGE
    done = Corrected(taken.dataset, taken.name, taken.bring is not None, page, notes)
    if done.changed:
        text = f"# Corrected {markdown(done.case)} of {markdown(done.dataset)}\n\n{listed(notes)}\n"
        if page is not None:
            text += f"\n{link(page, 'Its plan')}: {markdown(page)}\n"
        create_markdown_artifact(text, key="correct", description="A corrected reference")
        dataset_changed(done.dataset, source=SOURCE, brought_in=1)
    return done


@dataclass(frozen=True)
class CorrectedLaid:
    """Names of cases and plans whose masks were taken, and the reasons for those that were refused."""

    taken: list[str]
    refused: list[str]


@stage(LaidParameters, persist_result=False)
def correct_laid(parameters: LaidParameters) -> CorrectedLaid:
    """Take each mask that lies in the home's `corrections/`, called after its case or plan, as `correct` does.

    A refused mask does not stop the others. After a fault of the program or the machine the mask stays where it is.
    """
    settings = current_settings()
    done = CorrectedLaid([], [])
    with take_turns("laid-corrections", "takes what lies in corrections"):
        for laid in find_laid(settings, parameters.settle_seconds):
            try:
                mask = hide_path(laid.mask) if is_pseudonym(laid.name) else str(laid.mask)
                with reading() as session:
                    what = what_it_corrects(session, laid.name)
                taken = correct(CorrectParameters(what=what, mask=mask, by=laid.by))
            except KitsError as error:
                done.refused.append(str(error))
                put_away(settings, laid, "refused", str(error))
            else:
                done.taken.append(laid.name)
                put_away(settings, laid, "done", _sentences(taken))
    return completed(done, counted(done.refused, "refused"))


def _sentences(taken: Corrected) -> str:
    if not taken.changed:
        return f"{taken.case} of {taken.dataset} had just this reference already: nothing was changed."
    lines = [f"The reference of {taken.case} of {taken.dataset}.", *taken.notes]
    return "\n".join([*lines, f"Its plan: {taken.page}"] if taken.page else lines)
