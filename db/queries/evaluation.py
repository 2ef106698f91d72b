"""Evaluations and their values."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pandas as pd
from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from db.models import (
    Case,
    CaseFile,
    CaseMeasurement,
    CaseScore,
    Ceiling,
    ClinicalRecord,
    Evaluation,
    FileKind,
    LabelVolume,
    Model,
    PreparedCase,
    RunStatus,
    ScoredCase,
    SplitMember,
    Subset,
)
from db.models.base import UtcDateTime, now
from db.queries import split as split_queries
from db.queries.turns import find_or_add, take_turn
from kits_core.errors import KitsError
from kits_core.labels import REGIONS, Label
from kits_core.metrics.aggregate import diagonal_mm
from kits_core.metrics.known import METRICS, metrics_of
from kits_core.metrics.score import Score, Status
from kits_core.model_file import FLIPPED, PLAIN
from kits_core.plan.measurement import Pair


def evaluation_of(session: Session, *, model_id: int, split_id: int, subset: Subset, flips: bool = False) -> Evaluation:
    """The evaluation of a model over a subset, made if it is new."""
    natural_key = {"model_id": model_id, "split_id": split_id, "subset": subset, "flips": flips}
    evaluation = find_or_add(session, Evaluation, natural_key)
    session.flush()
    return evaluation


def start_evaluation(
    session: Session,
    *,
    model_id: int,
    split_id: int,
    subset: Subset,
    flow_run_id: str | None,
    flips: bool = False,
    locator_id: int | None = None,
) -> Evaluation:
    """The evaluation of a model over a subset: new, or continued with its own locator, or unchanged if completed."""
    evaluation = evaluation_of(session, model_id=model_id, split_id=split_id, subset=subset, flips=flips)
    if evaluation.status is RunStatus.COMPLETED:
        return evaluation
    evaluation.status, evaluation.ended_at, evaluation.flow_run_id = RunStatus.RUNNING, None, flow_run_id
    if evaluation.locator_id is None:
        evaluation.locator_id = locator_id
    session.flush()
    return evaluation


def find_evaluation(session: Session, evaluation_id: int | None) -> Evaluation:
    """The evaluation of an id, or the newest. Raises `KitsError` where there is none."""
    query = select(Evaluation).order_by(Evaluation.id.desc())
    if evaluation_id is not None:
        query = query.where(Evaluation.id == evaluation_id)
    evaluation = session.scalars(query).first()
    if evaluation is None:
        wanted = "an evaluation" if evaluation_id is None else f"evaluation {evaluation_id}"
        raise KitsError(f"expected {wanted} in the catalog, got none; run kits evaluate")
    return evaluation


def evaluated_members(session: Session, evaluation: Evaluation) -> list[SplitMember]:
    """The cases that an evaluation scores. For a model of this split they depend on its held-out fold."""
    fold = evaluation.model.run.read_config().fold if scores_its_own(evaluation) else None
    return split_queries.side(session, evaluation.split_id, evaluation.subset, fold)


def scores_its_own(evaluation: Evaluation) -> bool:
    """Whether the cases are a side of the split that the model was trained on. False for an imported model."""
    origin = evaluation.model.run.read_origin()
    return origin is None or origin.split_hash == evaluation.split.hash


def end_evaluation(evaluation: Evaluation, status: RunStatus, report_path: str | None) -> None:
    """Note how an evaluation ended; the report's path is relative to the home."""
    evaluation.status, evaluation.ended_at, evaluation.report_path = status, now(), report_path


def record_scores(
    session: Session,
    evaluation_id: int,
    case_id: int,
    scores: Iterable[Score],
    *,
    sha256: tuple[str, str],
    measured: Iterable[Pair] = (),
) -> None:
    """Write the values of a case, replacing earlier ones. `measured`: of its plan, where it could be predicted.

    `sha256`: of the image that was predicted from and of the reference that was scored against.
    """
    take_turn(session, Case, case_id)
    for table in (CaseScore, CaseMeasurement, ScoredCase):
        session.execute(delete(table).where(table.evaluation_id == evaluation_id, table.case_id == case_id))
    image, reference = sha256
    session.add(
        ScoredCase(
            evaluation_id=evaluation_id,
            case_id=case_id,
            image_sha256=image,
            reference_sha256=reference,
            model_sha256=session.get_one(Evaluation, evaluation_id).model.sha256,
        )
    )
    regions: dict[str, dict[str, Any]] = {}
    for score in scores:
        values = regions.setdefault(score.region, {"status": score.status, "seconds": score.seconds})
        if CaseScore.has_column(score.metric):
            values[score.metric] = score.value
        else:
            values["more_metrics"] = {**values.get("more_metrics", {}), score.metric: score.value}
    session.add_all(
        CaseScore(evaluation_id=evaluation_id, case_id=case_id, region=region, **values)
        for region, values in regions.items()
    )
    session.add_all(CaseMeasurement(evaluation_id=evaluation_id, case_id=case_id, **asdict(pair)) for pair in measured)


def scored_cases(session: Session, evaluation_id: int) -> set[int]:
    """Ids of the cases that have values of a prediction."""
    return set(
        session.scalars(
            select(CaseScore.case_id)
            .where(CaseScore.evaluation_id == evaluation_id, CaseScore.status != Status.MISSING)
            .distinct()
        )
    )


def lacking(session: Session, evaluation_id: int) -> dict[int, list[str]]:
    """The metrics that were added since, by the id of each scored case that lacks some."""
    later = {metric.name for metric in METRICS if not CaseScore.has_column(metric.name)}
    if not later:
        return {}
    due = {region.name: {metric.name for metric in metrics_of(region)} & later for region in REGIONS}
    rows = session.execute(
        select(CaseScore.case_id, CaseScore.region, CaseScore.more_metrics).where(
            CaseScore.evaluation_id == evaluation_id, CaseScore.status != Status.MISSING
        )
    )
    found: dict[int, set[str]] = {}
    for case_id, region, measured in rows:
        if lacks := due[region] - (measured or {}).keys():
            found.setdefault(case_id, set()).update(lacks)
    return {case_id: sorted(names) for case_id, names in found.items()}


def stale_cases(session: Session, evaluation_id: int) -> set[int]:
    """Ids of the cases whose scores rest on an image, a reference or weights that were replaced since."""
    query = text(
        'SELECT c.id FROM stale s JOIN dataset d ON d.name = s.dataset JOIN "case" c ON c.dataset_id = d.id '
        "AND c.name = s.case_name WHERE s.what = 'evaluation' AND s.number = :evaluation_id"
    )
    return set(session.scalars(query, {"evaluation_id": evaluation_id}))


def what_is_stale(session: Session, evaluation_id: int) -> list[str]:
    """A sentence where an evaluation's scores, and one where its model, rest on files that were replaced since.

    One more where it lacks metrics that were added since.
    """
    query = text(
        "SELECT s.what, s.number, COUNT(DISTINCT s.case_name), MIN(s.case_name) FROM stale s JOIN leaderboard l ON "
        "(s.what = 'evaluation' AND s.number = l.evaluation_id) OR (s.what = 'training_run' AND s.number = l.run_id) "
        "WHERE l.evaluation_id = :evaluation_id GROUP BY 1, 2 ORDER BY 1"
    )
    again = {"evaluation": "kits evaluate scores them again", "training_run": "kits train learns from the new ones"}
    found = session.execute(query, {"evaluation_id": evaluation_id}).all()
    without = lacking(session, evaluation_id)
    names = sorted({name for names in without.values() for name in names})
    later = f"evaluation {evaluation_id} lacks {', '.join(names)} of {len(without)} cases; kits evaluate measures them"
    return [later] * bool(names) + [
        f"{what.replace('_', ' ')} {number} rests on files that were replaced since "
        f"({first if cases == 1 else f'{first} and {cases - 1} more'}); {again[what]}"
        for what, number, cases, first in found
    ]


def validated_cleanup(session: Session, model_id: int, *, flips: bool) -> dict[str, Any] | None:
    """The clean-up that the newest completed evaluation of a model over validation cases chose; None without one.

    For an imported model, the one in its file.
    """
    if (origin := session.get_one(Model, model_id).run.read_origin()) is not None:
        return origin.cleanup.get(FLIPPED if flips else PLAIN)
    return session.scalar(
        select(Evaluation.cleanup)
        .where(
            Evaluation.model_id == model_id,
            Evaluation.flips == flips,
            Evaluation.subset == Subset.VALIDATION,
            Evaluation.status == RunStatus.COMPLETED,
        )
        .order_by(Evaluation.id.desc())
    )


def score_frame(session: Session, evaluation_id: int) -> pd.DataFrame:
    """Long: `case, region, metric, value, status, diagonal_mm`, in the order of the cases' names."""
    scored = session.execute(
        select(Case.name, CaseScore)
        .join(Case, Case.id == CaseScore.case_id)
        .where(CaseScore.evaluation_id == evaluation_id)
        .order_by(Case.name, CaseScore.id)
    ).all()
    rows = [
        (name, row.region, metric.name, values[metric.name], row.status, row.case_id)
        for name, row in scored
        for values in [_values(row)]
        for metric in METRICS
        # An overlap always has a value, unless it was not measured.
        if metric.name in values and (values[metric.name] is not None or metric.kind != "overlap")
    ]
    frame = pd.DataFrame(rows, columns=["case", "region", "metric", "value", "status", "case_id"])
    diagonals = _diagonals_mm(session, frame["case_id"].unique().tolist())
    return frame.assign(diagonal_mm=frame.pop("case_id").map(diagonals)).astype({"value": float, "diagonal_mm": float})


def _values(row: CaseScore) -> dict[str, float | None]:
    """What was measured by the metrics that there are, None where one has no value."""
    own = {metric.name: getattr(row, metric.name) for metric in METRICS if CaseScore.has_column(metric.name)}
    return own | (row.more_metrics or {})


def measurement_frame(session: Session, evaluation_id: int) -> pd.DataFrame:
    """Long: `case, structure, side, name, reference, prediction`, in the order of the cases' names."""
    rows = session.execute(
        select(
            Case.name,
            CaseMeasurement.structure,
            CaseMeasurement.side,
            CaseMeasurement.name.label("measurement"),
            CaseMeasurement.reference,
            CaseMeasurement.prediction,
        )
        .join(Case, Case.id == CaseMeasurement.case_id)
        .where(CaseMeasurement.evaluation_id == evaluation_id)
        .order_by(Case.name, CaseMeasurement.id)
    ).all()
    frame = pd.DataFrame(rows, columns=["case", "structure", "side", "name", "reference", "prediction"])
    return frame.astype({"reference": float, "prediction": float})


def scores_over_time(session: Session, dataset: str, newest: int) -> list[dict[str, Any]]:
    """The newest completed evaluations of a dataset, the last first: rows of the view `leaderboard` and `ended_at`."""
    query = text(
        "SELECT l.*, e.ended_at FROM leaderboard l JOIN evaluation e ON e.id = l.evaluation_id "
        "WHERE l.dataset = :dataset AND l.status = 'completed' ORDER BY e.ended_at DESC, e.id DESC LIMIT :newest"
    ).columns(ended_at=UtcDateTime())
    return [dict(row) for row in session.execute(query, {"dataset": dataset, "newest": newest}).mappings()]


def case_facts(session: Session, case_ids: Iterable[int]) -> pd.DataFrame:
    """The properties that make subgroups, indexed by the case's name (see `kits_core.metrics.subgroup`)."""
    rows = session.execute(
        select(
            Case.name,
            LabelVolume.ml,
            ClinicalRecord.pathology_t_stage,
            ClinicalRecord.tumor_histologic_subtype,
            Case.phase,
            CaseFile.spacing_mm,
            ClinicalRecord.sex,
        )
        .outerjoin(LabelVolume, (LabelVolume.case_id == Case.id) & (LabelVolume.label == Label.TUMOR))
        .outerjoin(ClinicalRecord, ClinicalRecord.case_id == Case.id)
        .outerjoin(CaseFile, _newest_image())
        .where(Case.id.in_(list(case_ids)))
        .order_by(Case.name)
    ).all()
    frame = pd.DataFrame(rows, columns=["case", "tumor_ml", "stage", "histology", "phase", "slice_mm", "sex"])
    slice_mm = frame["slice_mm"].map(max, na_action="ignore")
    return frame.assign(slice_mm=slice_mm, phase=frame["phase"].map(str, na_action="ignore")).set_index("case")


def _diagonals_mm(session: Session, case_ids: Iterable[int]) -> dict[int, float]:
    rows = session.execute(
        select(Case.id, CaseFile.shape, CaseFile.spacing_mm)
        .join(CaseFile, _newest_image())
        .where(Case.id.in_(list(case_ids)))
    ).all()
    return {case_id: diagonal_mm(tuple(shape), tuple(spacing)) for case_id, shape, spacing in rows}


def _newest_image() -> Any:
    return (CaseFile.case_id == Case.id) & (CaseFile.kind == FileKind.IMAGE) & CaseFile.superseded_at.is_(None)


def ceiling_frame(session: Session, recipe_id: int, case_ids: Iterable[int]) -> pd.DataFrame:
    """Dice of a perfect model through a recipe: `case, region, value`, in the order of the cases' names."""
    rows = session.execute(
        select(Case.name, Ceiling.region, Ceiling.value)
        .join(PreparedCase, PreparedCase.id == Ceiling.prepared_case_id)
        .join(Case, Case.id == PreparedCase.case_id)
        .where(PreparedCase.recipe_id == recipe_id, Case.id.in_(list(case_ids)), Ceiling.metric == "dice")
        .order_by(Case.name, Ceiling.id)
    ).all()
    return pd.DataFrame(rows, columns=["case", "region", "value"]).astype({"value": float})
