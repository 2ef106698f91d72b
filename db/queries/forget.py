"""Cases and predictions to remove for good, and their rows in the catalog."""

from collections.abc import Iterable, Sequence

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from db.models import (
    Case,
    CaseFile,
    CaseMeasurement,
    CaseScore,
    Ceiling,
    ClinicalRecord,
    Evaluation,
    Forgotten,
    LabelVolume,
    Measurement,
    Prediction,
    PredictionModel,
    PreparedCase,
    Problem,
    ScoredCase,
    SplitMember,
    TrainedCase,
    TrainingRun,
)
from db.models.dataset import Dataset
from db.queries.training import runs_on
from db.queries.turns import take_turn

_OF_A_CASE = (
    *(ClinicalRecord, LabelVolume, Problem, CaseFile, TrainedCase, SplitMember, ScoredCase, CaseScore),
    CaseMeasurement,
)


_BEING_FORGOTTEN = "It is being removed (kits forget)."


def mark_predictions(session: Session, ids: Sequence[int]) -> None:
    """Mark predictions for removal before their files go: after a kill no plan may be left to find them by."""
    session.execute(update(Prediction).where(Prediction.id.in_(ids)).values(error=_BEING_FORGOTTEN))


def marked_predictions(session: Session) -> list[Prediction]:
    """Predictions that a killed call had begun to remove."""
    return list(session.scalars(select(Prediction).where(Prediction.error == _BEING_FORGOTTEN)))


def cases_of_patient(session: Session, patient: str) -> list[Case]:
    """Cases of a patient, by the id in their records, in all datasets."""
    return list(session.scalars(select(Case).join(ClinicalRecord).where(ClinicalRecord.patient_id == patient)))


def predictions_of(session: Session, cases: Iterable[Case]) -> list[Prediction]:
    """Predictions of the same files that cases came from."""
    hashes = {file.archive_sha256 for case in cases for file in case.files}
    return list(session.scalars(select(Prediction).where(Prediction.sha256.in_(hashes))))


def evaluations_of(session: Session, cases: Sequence[Case]) -> list[int]:
    """Numbers of the evaluations that have scored one of the cases."""
    ids = [case.id for case in cases]
    scored = select(ScoredCase.evaluation_id).where(ScoredCase.case_id.in_(ids))
    measured = select(CaseScore.evaluation_id).where(CaseScore.case_id.in_(ids))
    return sorted(set(session.scalars(scored.union(measured))))


def note_forgotten(session: Session, dataset: Dataset, digest: str) -> None:
    """Note that a case must not come in again; once."""
    take_turn(session, Dataset, dataset.id)
    if digest not in forgotten_digests(session, dataset.id):
        session.add(Forgotten(dataset_id=dataset.id, digest=digest))
        session.flush()


def forgotten_digests(session: Session, dataset_id: int) -> set[str]:
    """Digests of the cases of a dataset that must not come in again."""
    return set(session.scalars(select(Forgotten.digest).where(Forgotten.dataset_id == dataset_id)))


def delete_case(session: Session, case: Case) -> None:
    """Delete all rows of a case, and count it as forgotten in the trainings and evaluations that used it.

    A training that began with the weights of one that has seen it counts it, too.
    """
    take_turn(session, Case, case.id)
    runs = runs_on(session, session.scalars(select(TrainedCase.run_id).where(TrainedCase.case_id == case.id)).all())
    session.execute(
        update(TrainingRun)
        .where(TrainingRun.id.in_(runs))
        .values(forgotten_cases=TrainingRun.forgotten_cases + 1)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(Evaluation)
        .where(Evaluation.id.in_(evaluations_of(session, [case])))
        .values(forgotten_cases=Evaluation.forgotten_cases + 1)
        .execution_options(synchronize_session=False)
    )
    prepared = select(PreparedCase.id).where(PreparedCase.case_id == case.id)
    session.execute(delete(Ceiling).where(Ceiling.prepared_case_id.in_(prepared)))
    for table in (*_OF_A_CASE, PreparedCase):
        session.execute(delete(table).where(table.case_id == case.id))
    session.execute(delete(Case).where(Case.id == case.id))


def delete_prediction(session: Session, prediction: Prediction) -> None:
    """Delete all rows of a prediction."""
    for table in (Measurement, PredictionModel):
        session.execute(delete(table).where(table.prediction_id == prediction.id))
    session.execute(delete(Prediction).where(Prediction.id == prediction.id))


def forget_source(session: Session, dataset_id: int) -> None:
    """Where no case is left of a dataset, forget where they came from, too."""
    if session.scalar(select(Case.id).where(Case.dataset_id == dataset_id).limit(1)) is None:
        session.get_one(Dataset, dataset_id).source = "forgotten"


def wipe_what_is_deleted(session: Session) -> None:
    """From now on SQLite overwrites what this connection deletes; PostgreSQL does so when it is vacuumed."""
    if session.connection().dialect.name == "sqlite":
        session.execute(text("PRAGMA secure_delete = ON"))
