"""The report of an evaluation, read back from the catalog."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from prefect import task
from sqlalchemy.orm import Session

from db.models import Case, Evaluation, FileKind, Model, Subset
from db.models.base import now
from db.queries import evaluation as queries
from db.queries import split as split_queries
from db.queries.training import history
from db.settings import current_settings
from kits_core.files import write_text_atomically
from kits_core.geometry import read_volume
from kits_core.network.config import TrainingConfig
from kits_core.recipe.prepare import read_reference
from kits_core.recipe.recipe import Recipe
from kits_core.report import figures
from kits_core.report.methods import Lineage
from kits_core.report.page import Report, render
from kits_core.report.sections import Section, case_sections
from tasks.catalog import reading
from tasks.evaluate import prediction_path
from tasks.policy import COMPUTE

_WORST = 3


@dataclass(frozen=True)
class Written:
    """A report on disk and what it was made of."""

    path: Path
    report: Report


@task(name="write-report", task_run_name="evaluation {evaluation_id} · report", **COMPUTE)
def write_report(evaluation_id: int) -> Written:
    """Read an evaluation from the catalog and write its page; done again, it replaces the page."""
    settings = current_settings()
    report = read_report(evaluation_id)
    path = settings.reports / f"evaluation_{evaluation_id:05d}.html"
    write_text_atomically(path, render(report))
    return Written(path, report)


def read_report(evaluation_id: int) -> Report:
    """Scores, ceilings, lineage and figures of an evaluation."""
    with reading() as session:
        evaluation = session.get_one(Evaluation, evaluation_id)
        model, run = evaluation.model, evaluation.model.run
        fold = run.config.get("fold")
        subset = [m.case for m in split_queries.side(session, evaluation.split_id, evaluation.subset, fold)]
        scores = queries.score_frame(session, evaluation_id)
        ceilings = queries.mean_ceilings(session, run.recipe_id, [case.id for case in subset])
        curve = history(session, run.id)
        lineage = lineage_of(session, model)
    return Report(
        title=f"Evaluation {evaluation_id}: model {lineage.model_id} on {len(subset)} {evaluation.subset} cases",
        subset=evaluation.subset.value,
        scores=scores,
        ceilings=ceilings,
        lineage=lineage,
        figures={
            "Dice of every case, by region": figures.dice_distribution(scores, ceilings),
            "Tumour volume, predicted against reference": figures.tumor_volume_agreement(scores),
            "Learning curve": figures.learning_curve(curve),
        },
        created=now().strftime("%Y-%m-%d %H:%M UTC"),
        cases_pictured=_pictures(scores, subset, lineage.model_id),
    )


def lineage_of(session: Session, model: Model) -> Lineage:
    """Where a model comes from, as the catalog has it."""
    run = model.run
    fold = run.config.get("fold")
    train, validation = (len(split_queries.side(session, run.split_id, subset, fold)) for subset in Subset)
    return Lineage(
        dataset=run.split.dataset.name,
        source=run.split.dataset.source,
        train_cases=train,
        validation_cases=validation,
        split_seed=run.split.seed,
        split_hash=run.split.hash,
        recipe=Recipe.model_validate(run.recipe.settings),
        config=TrainingConfig.model_validate(run.config),
        run_id=run.id,
        model_id=model.id,
        model_epoch=model.epoch,
        model_sha256=model.sha256,
        parameters=model.parameters,
        score=model.score,
        environment=run.environment,
    )


def _pictures(scores: pd.DataFrame, cases: Sequence[Case], model_id: int) -> dict[str, bytes]:
    tumor = scores[(scores["region"] == "tumor") & (scores["metric"] == "dice")].set_index("case")["value"]
    ranked = tumor.sort_values().index.tolist()
    by_name = {case.name: case for case in cases}
    chosen = {"Worst tumour Dice": ranked[:_WORST]}
    rest = ranked[_WORST:]
    if rest:
        chosen["Median and best"] = list(dict.fromkeys([rest[len(rest) // 2], rest[-1]]))
    return {
        title: figures.case_slices(
            (_sections(by_name[name], model_id) for name in names),
            [f"{name} · tumour Dice {tumor[name]:.3f}" for name in names],
        )
        for title, names in chosen.items()
    }


def _sections(case: Case, model_id: int) -> list[Section]:
    settings = current_settings()
    image_file, reference_file = case.file(FileKind.IMAGE), case.file(FileKind.SEGMENTATION)
    if image_file is None or reference_file is None:
        raise LookupError(f"{case.name}: expected an image and a reference in the catalog; run kits ingest")
    image = read_volume(settings.absolute(image_file.path))
    reference = read_reference(case.name, settings.absolute(reference_file.path), image)
    prediction = read_volume(prediction_path(settings, model_id, case.name))
    return case_sections(image, reference, np.asarray(prediction.data))
