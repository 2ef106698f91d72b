"""A training that begins with the weights of a model: what it takes over, and which cases it may hold out."""

from collections.abc import Iterator, Sequence

from prefect import get_run_logger
from sqlalchemy.orm import Session

from db.models import Case, Model, PreparedCase, Subset, TrainedCase, TrainingRun
from db.queries import split as split_queries
from db.queries import training as queries
from kits_core.errors import KitsError
from kits_core.network.config import NETWORK_SETTINGS, TrainingConfig
from kits_core.text import listed


def beginning_with(model: Model, config: TrainingConfig) -> TrainingConfig:
    """The settings of a training that begins with a model's weights: its network is the model's."""
    network = model.run.read_config().model_dump(include=set(NETWORK_SETTINGS))
    return config.model_copy(update={**network, "begins_with": model.sha256})


def check_held_out(session: Session, model: Model, held_out: Sequence[PreparedCase]) -> None:
    """Raise `KitsError` where the model has learnt a case that is to be held out: its score would be too good.

    This compares cases, patients of the same dataset, and prepared images, which may have another name. Cases that the
    model has learnt through the models that it began with count too. For an imported model the cases are not known,
    and the log says so.
    """
    learnt: set[object] = set()
    for run in (model.run, *(base.run for base in queries.bases(session, model.run))):
        if run.imported is not None:
            get_run_logger().warning(
                "run %s was imported: which cases it has learnt is not known here; if some of the held-out ones are "
                "among them, their scores flatter",
                run.id,
            )
            continue
        for case in _learnt_cases(session, run):
            learnt |= _identities(session.get_one(Case, case.case_id), case.image_sha256)
    seen = [row.case.name for row in held_out if learnt & _identities(row.case, row.image_sha256)]
    if seen:
        split_id = model.run.split_id
        raise KitsError(
            f"model {model.id}: expected to hold out cases that it has not learnt, got {len(seen)} of "
            f"{len(held_out)} that it has ({listed(seen)}), whose scores would be too good; train with the model's own "
            f"split (--split {split_id}), or with one that keeps its sides (kits split --keep {split_id})"
        )


def _learnt_cases(session: Session, run: TrainingRun) -> Iterator[TrainedCase]:
    fold = run.read_config().fold
    ids = {member.case_id for member in split_queries.side(session, run.split_id, Subset.TRAIN, fold)}
    yield from (case for case in run.cases if case.case_id in ids)


def _identities(case: Case, image_sha256: str) -> set[object]:
    patient = case.clinical.patient_id if case.clinical else None
    return {("case", case.id), ("image", image_sha256)} | ({(case.dataset_id, patient)} if patient else set())
