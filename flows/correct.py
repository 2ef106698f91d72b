"""A segmentation that a person corrected comes back as a reference."""

import getpass
from dataclasses import dataclass
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.artifacts import listed, markdown
from flows.parameters import CorrectParameters
from kits_core.errors import KitsError
from kits_core.label_map import LabelMap
from kits_core.plan.files import PAGE
from kits_core.plan.record import is_plan
from tasks.at_work import FLOW
from tasks.correct import Correction, take_correction
from tasks.correct_plan import SOURCE, plan_correction, take_plan
from tasks.events import dataset_changed
from tasks.ingest import ingest_case
from tasks.source import Asked
from tasks.turns import take_turns


@dataclass(frozen=True)
class Corrected:
    """The case with the corrected reference. `changed`: whether it is another one than before.

    `page`: of the plan of the corrected mask, where a plan was corrected. `notes`: how the mask was read.
    """

    dataset: str
    case: str
    changed: bool
    page: Path | None = None
    notes: tuple[str, ...] = ()


@flow(name="correct", flow_run_name="correct · {parameters.shown_what}", persist_result=False, **FLOW)
def correct(parameters: CorrectParameters) -> Corrected:
    """Keep the mask as the overlay of a case, bring the case in, and plan a corrected plan anew. Asks no source."""
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
        raise KitsError(f"{asked.what}: expected the folder of a plan with --out, got a case; leave --out away")
    with take_turns("corrections", "corrects a reference"):
        taken, plan = take_plan(asked) if of_plan else (take_correction(asked), None)
        notes: tuple[str, ...] = ()
        if taken.bring is not None:
            notes = ingest_case(Asked(SOURCE, deidentify=taken.bring.deidentify), taken.bring, keep_archives=False)
        page = None if plan is None else (plan.folder if plan.is_there else plan_correction(plan)) / PAGE
    done = Corrected(taken.dataset, taken.name, taken.bring is not None, page, notes)
    if done.changed:
        text = f"# Corrected {markdown(done.case)} of {markdown(done.dataset)}\n\n{listed(notes)}\n"
        create_markdown_artifact(text, key="correct", description="A corrected reference")
        dataset_changed(done.dataset, source=SOURCE, brought_in=1)
    return done
