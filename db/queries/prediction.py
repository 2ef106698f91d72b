"""Predictions of scans from outside the catalog."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from db.models import Measurement, Model, Prediction, PredictionModel, RunStatus
from db.models.base import now
from db.queries.turns import find_or_add, take_turn
from kits_core.plan.measurement import Row


def find_prediction(session: Session, key: str) -> Prediction | None:
    """The prediction of a scan by these models into that folder, if the catalog has it."""
    return session.scalar(select(Prediction).where(Prediction.key == key))


def start_prediction(
    session: Session,
    key: str,
    *,
    models: Sequence[Model],
    locator: Model | None,
    flow_run_id: str | None,
    **columns: object,
) -> Prediction:
    """A prediction that is under way, new or begun again; `columns` are those of the table."""
    row = find_or_add(session, Prediction, {"key": key}, **columns)
    row.status, row.error, row.started_at, row.ended_at = RunStatus.RUNNING, None, now(), None
    row.flow_run_id = flow_run_id
    session.flush()
    for model, locates in [*((model, False) for model in models), *([(locator, True)] if locator else [])]:
        link = {"prediction_id": row.id, "model_id": model.id}
        find_or_add(session, PredictionModel, link, locates=locates)
    return row


def record_plan(session: Session, prediction_id: int, rows: Iterable[Row], facts: Mapping[str, Any]) -> None:
    """Write the plan's values, replacing earlier ones, and mark the prediction as complete; `facts` are columns."""
    take_turn(session, Prediction, prediction_id)
    session.execute(delete(Measurement).where(Measurement.prediction_id == prediction_id))
    session.add_all(
        Measurement(prediction_id=prediction_id, structure=row.structure, side=row.side, name=row.name, value=row.value)
        for row in rows
    )
    prediction = session.get_one(Prediction, prediction_id)
    for name, value in facts.items():
        setattr(prediction, name, value)
    prediction.status, prediction.error, prediction.ended_at = RunStatus.COMPLETED, None, now()


def end_prediction(session: Session, prediction_id: int, error: str) -> None:
    """Note why there is no plan."""
    row = session.get_one(Prediction, prediction_id)
    row.status, row.error, row.ended_at = RunStatus.FAILED, error, now()
