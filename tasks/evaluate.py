"""A model's predictions on original grids, and their scores. Keras is imported where a model is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prefect import get_run_logger, task
from scipy.spatial import QhullError
from sqlalchemy.orm import Session

from db.models import Case, Evaluation, FileKind, Model, RunStatus, Split, Subset
from db.queries import evaluation as queries
from db.queries import ingest as ingest_queries
from db.queries.training import find_model
from db.settings import Settings, current_settings
from kits_core.case_names import folder_name
from kits_core.disk import check_room
from kits_core.errors import KitsError
from kits_core.geometry import Volume, read_volume, write_volume
from kits_core.inference.cleanup import NOT_CHOSEN, Choice, Islands, Rules, choose
from kits_core.inference.files import is_prediction, islands_of, note_of, score_missing, score_prediction
from kits_core.inference.predict import segment
from kits_core.plan.agreement import compare_files
from kits_core.plan.measurement import Pair
from tasks.cancel import how_it_ended
from tasks.catalog import catalog, file_of, flow_run_id, reading
from tasks.isolated import run_isolated
from tasks.models import locator_of, one_prediction, segmenter_of
from tasks.policy import CATALOG, COMPUTE
from tasks.prepare import noting_problems

STAGE = "evaluate"
_VOXELS_A_BYTE = 10  # of a compressed prediction, at the least


@dataclass(frozen=True)
class CaseToEvaluate:
    """A case of the subset that has no scores yet."""

    case_id: int
    name: str


@dataclass(frozen=True)
class EvaluationPlan:
    """An evaluation in the catalog and what it still lacks.

    `cleanup`: None if the rules are to be chosen on these predictions. `workers`: processes that score.
    """

    evaluation_id: int
    model_id: int
    locator_id: int | None
    flips: bool
    cleanup: Choice | None
    cases: int
    missing: list[CaseToEvaluate]
    workers: int


@dataclass(frozen=True)
class _Files:
    """Where a case's files are. `sha256`: of image and reference. The prediction is where it will be."""

    image: Path
    sha256: tuple[str, str]
    reference: Path
    prediction: Path


@task(name="find-evaluation", **CATALOG)
def find_evaluation(model: str, subset: str, flips: bool, split: int | None = None) -> int:
    """The id of a model's evaluation over a subset, made if it is new. `split`: for an imported model, which has none.

    Raises `KitsError` for a split that is not there, or not a trained model's own.
    """
    with catalog() as session:
        row = find_model(session, model)
        locator_of(session, row, held_out=True)  # refused before there is a row
        split_id = _split_to_score(session, row, split)
        return queries.evaluation_of(session, model_id=row.id, split_id=split_id, subset=Subset(subset), flips=flips).id


def _split_to_score(session: Session, model: Model, wanted: int | None) -> int:
    own = None if model.run.imported is not None else model.run.split_id
    if own is None and wanted is None:
        raise KitsError(
            f"model {model.id}: expected a split of this home, because the model was imported, got none; "
            "name the split whose cases are scored with --split; the view split_overview lists them"
        )
    if wanted is not None and session.get(Split, wanted) is None:
        raise KitsError(f"expected split {wanted} in the catalog, got none; run kits split, or name another")
    if own is not None and wanted not in (None, own):
        raise KitsError(
            f"model {model.id}: expected its own split {own}, got {wanted}, whose held-out cases it may have learnt; "
            "omit --split"
        )
    return own if own is not None else int(wanted or 0)


@task(name="plan-evaluation", **CATALOG)
def plan_evaluation(evaluation_id: int, workers: int) -> EvaluationPlan:
    """Find the cases that an evaluation lacks, and start it. Call it while holding the turn."""
    with catalog() as session:
        evaluation = session.get_one(Evaluation, evaluation_id)
        row, flips = evaluation.model, evaluation.flips
        locator = locator_of(session, row, held_out=True)
        queries.start_evaluation(
            session,
            model_id=row.id,
            locator_id=None if locator is None else locator.id,
            split_id=evaluation.split_id,
            subset=evaluation.subset,
            flips=flips,
            flow_run_id=flow_run_id(),
        )
        members = queries.evaluated_members(session, evaluation)
        stale = queries.stale_cases(session, evaluation.id)
        scored = queries.scored_cases(session, evaluation.id) - stale - queries.lacking(session, evaluation.id).keys()
        if stale and evaluation.subset is Subset.VALIDATION:
            _choose_anew(evaluation, [member.case.name for member in members])
        missing = [CaseToEvaluate(m.case_id, m.case.name) for m in members if m.case_id not in scored]
        cleanup = _known_cleanup(session, evaluation)
        if missing and cleanup is None:  # what was scored before the rules were known is scored again
            missing = [CaseToEvaluate(m.case_id, m.case.name) for m in members]
        if missing:  # until all are scored, its values do not belong together
            evaluation.status, evaluation.ended_at = RunStatus.RUNNING, None
            evaluation.flow_run_id = flow_run_id()
        return EvaluationPlan(
            evaluation.id, row.id, evaluation.locator_id, flips, cleanup, len(members), missing, workers
        )


@task(name="predict-case", task_run_name="{case.name} · predict", **COMPUTE)
def predict_case(case: CaseToEvaluate, plan: EvaluationPlan) -> None:
    """Segment one case on its original grid and keep the labels as a file; one that is there already stays."""
    settings = current_settings()
    with noting_problems(case.case_id, case.name, STAGE):
        files = _files(settings, case, plan)
        with reading() as session:
            ids = (plan.model_id, plan.locator_id)
            models = [session.get_one(Model, model_id) for model_id in ids if model_id is not None]
        note = note_of(files.sha256[0], *(model.sha256 for model in models))
        if is_prediction(files.prediction, note):
            return
        image = read_volume(files.image)
        check_room(files.prediction.parent, image.data.size // _VOXELS_A_BYTE, f"the prediction of {case.name}")
        with one_prediction:
            with reading() as session:
                segmenters = [
                    segmenter_of(settings, session.get_one(Model, model.id), flips=plan.flips) for model in models
                ]
            labels = segment(case.name, image, *segmenters)
        if not labels.any():
            get_run_logger().warning("%s: the model finds neither kidney nor tumour", case.name)
        write_volume(files.prediction, Volume(labels, image.affine), note=note)


@task(name="find-islands", task_run_name="{case.name} · islands", **COMPUTE)
def find_islands(case: CaseToEvaluate, plan: EvaluationPlan) -> Islands:
    """Count the islands of one prediction."""
    with noting_problems(case.case_id, case.name, STAGE):
        files = _files(current_settings(), case, plan)
        return run_isolated(plan.workers, islands_of, case.name, files.prediction, files.reference).result


@task(name="choose-cleanup", **CATALOG)
def choose_cleanup(plan: EvaluationPlan, islands: list[Islands]) -> Choice:
    """Decide on validation cases which islands are removed, and note it in the catalog."""
    choice = choose(islands)
    with catalog() as session:
        session.get_one(Evaluation, plan.evaluation_id).cleanup = choice.to_json()
    return choice


@task(name="score-case", task_run_name="{case.name} · score", **COMPUTE)
def score_case(case: CaseToEvaluate, plan: EvaluationPlan, rules: Rules) -> None:
    """Clean one prediction, compare it and its plan with the reference's, and write every value."""
    with noting_problems(case.case_id, case.name, STAGE):
        files = _files(current_settings(), case, plan)
        scores = run_isolated(
            plan.workers, score_prediction, case.name, files.prediction, files.reference, rules
        ).result
        measured = _measured(case, plan, files)
        with catalog() as session:
            queries.record_scores(
                session, plan.evaluation_id, case.case_id, scores, sha256=files.sha256, measured=measured
            )
            ingest_queries.resolve_problems(session, case.case_id, STAGE)


def _measured(case: CaseToEvaluate, plan: EvaluationPlan, files: _Files) -> list[Pair]:
    """Both plans' values. Where a shape cannot be measured there are none, with a warning; the scores still count."""
    try:
        return run_isolated(
            plan.workers, compare_files, case.name, files.image, files.prediction, files.reference
        ).result
    except (ArithmeticError, LookupError, QhullError, ValueError) as error:
        get_run_logger().warning("%s: its plans could not be compared: %s", case.name, error)
        return []


@task(name="score-missing-case", task_run_name="{case.name} · missing", **COMPUTE)
def score_missing_case(case: CaseToEvaluate, plan: EvaluationPlan) -> None:
    """Count a case that could not be predicted as zero; its problem stays open, and the next evaluation tries again."""
    files = _files(current_settings(), case, plan)
    scores = run_isolated(plan.workers, score_missing, case.name, files.image, files.reference).result
    with catalog() as session:
        queries.record_scores(session, plan.evaluation_id, case.case_id, scores, sha256=files.sha256)


def complete_evaluation(evaluation_id: int, report: Path) -> None:
    """Note in the catalog that an evaluation is complete and where its report is."""
    with catalog() as session:
        row = session.get_one(Evaluation, evaluation_id)
        queries.end_evaluation(row, RunStatus.COMPLETED, current_settings().relative(report))


@contextmanager
def noting_the_end(evaluation_id: int) -> Iterator[None]:
    """Writes the status into the catalog if the block ends without completing an evaluation."""
    try:
        yield
    except BaseException as error:
        status = how_it_ended(error)
        with catalog() as session:
            row = session.get_one(Evaluation, evaluation_id)
            if row.status is RunStatus.RUNNING:
                queries.end_evaluation(row, status, None)
        raise


def prediction_path(settings: Settings, evaluation_id: int, case: str) -> Path:
    """Where the labels are that an evaluation scored; the folder is one that `kits score` takes."""
    return settings.predictions / f"evaluation_{evaluation_id:05d}" / f"{folder_name(case)}.nii.gz"


def _known_cleanup(session: Session, evaluation: Evaluation) -> Choice | None:
    """The evaluation's own rules. For cases that the model was trained on: those chosen on its validation cases.

    An imported model brings its own rules, so none are chosen on other cases.
    """
    known = queries.validated_cleanup(session, evaluation.model_id, flips=evaluation.flips)
    imported = evaluation.model.run.imported is not None
    if evaluation.cleanup is None and (evaluation.subset is not Subset.VALIDATION or imported):
        evaluation.cleanup = known or NOT_CHOSEN.to_json()
    return None if evaluation.cleanup is None else Choice.from_json(evaluation.cleanup)


def _choose_anew(evaluation: Evaluation, cases: list[str]) -> None:
    """Let the rules be chosen again on unchanged predictions, because the references were replaced since."""
    if evaluation.cleanup is None:
        return
    if Choice.from_json(evaluation.cleanup).rules != Rules():
        for case in cases:
            prediction_path(current_settings(), evaluation.id, case).unlink(missing_ok=True)
    evaluation.cleanup = None


def _files(settings: Settings, case: CaseToEvaluate, plan: EvaluationPlan) -> _Files:
    with reading() as session:
        row = session.get_one(Case, case.case_id)
        image, reference = file_of(row, FileKind.IMAGE), file_of(row, FileKind.SEGMENTATION)
    prediction = prediction_path(settings, plan.evaluation_id, case.name)
    sha256 = (image.sha256, reference.sha256)
    return _Files(settings.absolute(image.path), sha256, settings.absolute(reference.path), prediction)
