"""A model's predictions on original grids, their scores, and the report. Keras is imported where a model is loaded."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
from prefect import get_run_logger, task

from db.models import Case, Evaluation, FileKind, Model, RunStatus, Subset
from db.queries import evaluation as queries
from db.queries import ingest as ingest_queries
from db.queries import split as split_queries
from db.queries.training import find_locator, find_model
from db.settings import Settings, current_settings
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.geometry import Volume, read_volume, write_volume
from kits_core.inference.predict import Segmenter, segment
from kits_core.metrics.case import score_case as score
from kits_core.recipe.prepare import read_reference
from kits_core.recipe.recipe import Recipe
from tasks.catalog import catalog, flow_run_id, reading
from tasks.policy import CATALOG, COMPUTE
from tasks.prepare import noting_problems

STAGE = "evaluate"

# A network's prediction fills all cores and much memory by itself; two at once would only be slower.
_one_prediction = Lock()


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
        run = row.run
        needs_locator = _recipe(row).frame == "kidneys"
        evaluation = queries.start_evaluation(
            session,
            model_id=row.id,
            locator_id=find_locator(session, run.split.dataset_id).id if needs_locator else None,
            split_id=run.split_id,
            subset=Subset(subset),
            flow_run_id=flow_run_id(),
        )
        members = split_queries.members(session, run.split_id, Subset(subset))
        scored = queries.scored_cases(session, evaluation.id)
        missing = [CaseToEvaluate(m.case_id, m.case.name) for m in members if m.case_id not in scored]
        return EvaluationPlan(evaluation.id, row.id, evaluation.locator_id, len(members), missing)


@task(name="predict-case", task_run_name="{case.name} · predict", **COMPUTE)
def predict_case(case: CaseToEvaluate, plan: EvaluationPlan) -> None:
    """Segment one case on its original grid and keep the labels as a file."""
    settings = current_settings()
    with noting_problems(case.case_id, STAGE), _one_prediction:
        with reading() as session:
            file = session.get_one(Case, case.case_id).file(FileKind.IMAGE)
            ids = (plan.model_id, plan.locator_id)
            models = [session.get_one(Model, model_id) for model_id in ids if model_id is not None]
            segmenters = [_load(settings.absolute(row.path), row.sha256, _recipe(row)) for row in models]
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


def end_evaluation(evaluation_id: int, status: RunStatus, report: Path | None) -> None:
    """Note in the catalog how an evaluation ended and where its report is."""
    with catalog() as session:
        row = session.get_one(Evaluation, evaluation_id)
        queries.end_evaluation(row, status, current_settings().relative(report) if report else None)


def prediction_path(settings: Settings, model_id: int, case: str) -> Path:
    """Where the labels are that a model gave a case."""
    return settings.predictions / f"model_{model_id:05d}" / f"{case}.nii"


def _recipe(model: Model) -> Recipe:
    return Recipe.model_validate(model.run.recipe.settings)


@lru_cache(maxsize=2)
def _load(path: Path, sha256: str, recipe: Recipe) -> Segmenter:
    import kits_core.network.loss  # noqa: PLC0415
    import kits_core.network.unet  # noqa: F401, PLC0415 - registers the classes that the file names
    from kits_core.network.backend import keras  # noqa: PLC0415 - imports TensorFlow

    if not path.is_file() or sha256_of(path) != sha256:
        raise KitsError(f"{path}: expected the checkpoint with SHA-256 {sha256}, got another or no file; train again")
    return Segmenter(keras.saving.load_model(path, safe_mode=True), recipe)
