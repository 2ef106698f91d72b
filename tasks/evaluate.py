"""A model's predictions on original grids, their scores, and the report. Keras is imported where a model is loaded."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from prefect import get_run_logger, task
from sqlalchemy.orm import Session

from db.models import Case, Evaluation, FileKind, Model, RunStatus, Subset
from db.queries import evaluation as queries
from db.queries import ingest as ingest_queries
from db.queries import split as split_queries
from db.queries.training import find_locator, find_model, model_of_sha256
from db.settings import Settings, current_settings
from kits_core.errors import KitsError
from kits_core.geometry import Volume, read_volume, write_volume
from kits_core.inference.predict import segment
from kits_core.metrics.case import score_case as score
from kits_core.recipe.prepare import read_reference
from tasks.catalog import catalog, flow_run_id, reading
from tasks.models import one_prediction, recipe_of, segmenter_of
from tasks.policy import CATALOG, COMPUTE
from tasks.prepare import noting_problems

STAGE = "evaluate"


@dataclass(frozen=True)
class CaseToEvaluate:
    """A case of the subset that has no scores yet."""

    case_id: int
    name: str


@dataclass(frozen=True)
class EvaluationPlan:
    """An evaluation in the catalog and what it still lacks."""

    evaluation_id: int
    model_id: int
    locator_id: int | None
    cases: int
    missing: list[CaseToEvaluate]


@task(name="plan-evaluation", **CATALOG)
def plan_evaluation(model: str, subset: str) -> EvaluationPlan:
    """Find the model and the cases, and open the evaluation or take up the one that was begun."""
    with catalog() as session:
        row = find_model(session, model)
        run, recipe = row.run, recipe_of(row)
        evaluation = queries.start_evaluation(
            session,
            model_id=row.id,
            locator_id=_locator(session, row).id if recipe.frame == "kidneys" else None,
            split_id=run.split_id,
            subset=Subset(subset),
            flow_run_id=flow_run_id(),
        )
        members = split_queries.side(session, run.split_id, Subset(subset), run.config.get("fold"))
        scored = queries.scored_cases(session, evaluation.id)
        missing = [CaseToEvaluate(m.case_id, m.case.name) for m in members if m.case_id not in scored]
        return EvaluationPlan(evaluation.id, row.id, evaluation.locator_id, len(members), missing)


@task(name="predict-case", task_run_name="{case.name} · predict", **COMPUTE)
def predict_case(case: CaseToEvaluate, plan: EvaluationPlan) -> None:
    """Segment one case on its original grid and keep the labels as a file."""
    settings = current_settings()
    with noting_problems(case.case_id, STAGE), one_prediction:
        with reading() as session:
            file = session.get_one(Case, case.case_id).file(FileKind.IMAGE)
            ids = (plan.model_id, plan.locator_id)
            models = [session.get_one(Model, model_id) for model_id in ids if model_id is not None]
            segmenters = [segmenter_of(settings, model) for model in models]
        if file is None:
            raise KitsError(f"{case.name}: expected an ingested image in the catalog, got none; run kits ingest")
        image = read_volume(settings.absolute(file.path))
        labels = segment(case.name, image, *segmenters)
        if not labels.any():
            get_run_logger().warning("%s: the model finds neither kidney nor tumour", case.name)
        write_volume(prediction_path(settings, plan.model_id, case.name), Volume(labels, image.affine))


@task(name="score-case", task_run_name="{case.name} · score", **COMPUTE)
def score_case(case: CaseToEvaluate, plan: EvaluationPlan) -> None:
    """Compare one prediction with its reference and write every value."""
    settings = current_settings()
    with noting_problems(case.case_id, STAGE):
        with reading() as session:
            segmentation = session.get_one(Case, case.case_id).file(FileKind.SEGMENTATION)
        if segmentation is None:
            raise KitsError(f"{case.name}: expected a reference in the catalog, got none; run kits ingest")
        prediction = read_volume(prediction_path(settings, plan.model_id, case.name))
        reference = read_reference(case.name, settings.absolute(segmentation.path), prediction)
        scores = score(np.asarray(prediction.data), reference, prediction.spacing_mm)
        with catalog() as session:
            queries.record_scores(session, plan.evaluation_id, case.case_id, scores)
            ingest_queries.resolve_problems(session, case.case_id, STAGE)


def _locator(session: Session, model: Model) -> Model:
    """Who finds the kidneys for a model of that frame: whoever did so for its training, or the best there is."""
    named = recipe_of(model).locator
    return find_locator(session, model.run.split.dataset_id) if named is None else model_of_sha256(session, named)


def end_evaluation(evaluation_id: int, status: RunStatus, report: Path | None) -> None:
    """Note in the catalog how an evaluation ended and where its report is."""
    with catalog() as session:
        row = session.get_one(Evaluation, evaluation_id)
        queries.end_evaluation(row, status, current_settings().relative(report) if report else None)


def prediction_path(settings: Settings, model_id: int, case: str) -> Path:
    """Where the labels are that a model gave a case."""
    return settings.predictions / f"model_{model_id:05d}" / f"{case}.nii"
