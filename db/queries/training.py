"""Training runs, epochs and models."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.models import EpochMetric, Model, RunStatus, Split, TrainingRun
from db.models.base import now
from db.queries.turns import find_or_add, take_turn
from kits_core.errors import KitsError


def start_or_resume_run(
    session: Session,
    *,
    recipe_id: int,
    split_id: int,
    config: Mapping[str, Any],
    config_hash: str,
    flow_run_id: str | None,
) -> TrainingRun:
    """The run of a recipe, split and configuration, new or taken up again. A completed one is returned as it is."""
    key = {"recipe_id": recipe_id, "split_id": split_id, "config_hash": config_hash}
    run = find_or_add(session, TrainingRun, key, config=dict(config), environment={})
    if run.status is not RunStatus.COMPLETED:
        take_up(session, run, flow_run_id)
    return run


def take_up(session: Session, run: TrainingRun, flow_run_id: str | None) -> None:
    """Note that a run is under way, in a flow run."""
    run.status, run.error, run.ended_at = RunStatus.RUNNING, None, None
    run.flow_run_id = flow_run_id
    session.flush()


def record_epoch(session: Session, run_id: int, epoch: int, values: Mapping[str, float]) -> None:
    """The values of an epoch, in place of what was known of it."""
    take_turn(session, TrainingRun, run_id)
    known = {
        row.name: row
        for row in session.scalars(select(EpochMetric).where(EpochMetric.run_id == run_id, EpochMetric.epoch == epoch))
    }
    for name, value in values.items():
        if name in known:
            known[name].value = value
        else:
            session.add(EpochMetric(run_id=run_id, epoch=epoch, name=name, value=value))


def history(session: Session, run_id: int) -> pd.DataFrame:
    """One row an epoch, one column a value, and `epoch`."""
    rows = session.execute(
        select(EpochMetric.epoch, EpochMetric.name, EpochMetric.value).where(EpochMetric.run_id == run_id)
    ).all()
    long = pd.DataFrame(rows, columns=["epoch", "name", "value"])
    return long.pivot_table(index="epoch", columns="name", values="value").reset_index()


def end_run(session: Session, run_id: int, status: RunStatus, error: str | None = None) -> None:
    """Note how a run ended."""
    run = session.get_one(TrainingRun, run_id)
    run.status, run.error, run.ended_at = status, error, now()


def register_model(
    session: Session,
    run_id: int,
    *,
    epoch: int,
    path: str,
    sha256: str,
    score: float,
    parameters: int,
    flow_run_id: str | None,
) -> Model:
    """The model of a run, in place of what was known of it."""
    model = find_or_add(session, Model, {"run_id": run_id}, flow_run_id=flow_run_id)
    model.epoch, model.path, model.sha256, model.score, model.parameters = epoch, path, sha256, score, parameters
    session.flush()
    return model


def champion(session: Session) -> Model | None:
    """The model that prediction uses unless told otherwise."""
    return session.scalar(select(Model).where(Model.is_champion))


def promote(session: Session, model: Model) -> None:
    """Make a model the champion."""
    take_turn(session, Model)
    session.execute(update(Model).values(is_champion=False))
    session.flush()
    model.is_champion = True
    session.flush()


def rival(session: Session, model: Model) -> Model | None:
    """The champion that a model may take the place of: its score is lower, on the same recipe, split and fold.

    Where there is no champion yet the model becomes it, so that there is one to predict with.
    """
    take_turn(session, Model)
    current = champion(session)
    if current is None:
        promote(session, model)
        return None
    runs = current.run, model.run
    same = len({(run.recipe_id, run.split_id, run.config.get("fold")) for run in runs}) == 1
    return current if same and model.score > current.score else None


def find_run(session: Session, run_id: int) -> TrainingRun:
    """The training run of an id. Raises `KitsError` where there is none."""
    run = session.get(TrainingRun, run_id)
    if run is None:
        raise KitsError(f"expected training run {run_id} in the catalog, got none; look with kits status")
    return run


def find_locator(session: Session, dataset_id: int) -> Model:
    """The model that finds the kidneys of a dataset's scans: of those that see the whole scan the one of highest score.

    Raises `KitsError` where there is none.
    """
    models = session.scalars(
        select(Model).join(TrainingRun).join(Split).where(Split.dataset_id == dataset_id).order_by(Model.score.desc())
    )
    found = next((model for model in models if model.run.recipe.settings.get("frame") == "volume"), None)
    if found is None:
        raise KitsError(
            "a model of the frame kidneys: expected one of the frame volume that finds them, got none; run kits train "
            "--frame volume first"
        )
    return found


def model_of_sha256(session: Session, sha256: str) -> Model:
    """The model whose checkpoint has this hash. Raises `KitsError` where there is none."""
    model = session.scalars(select(Model).where(Model.sha256 == sha256)).first()
    if model is None:
        raise KitsError(f"expected the model with SHA-256 {sha256} in the catalog, got none; train it again")
    return model


def find_model(session: Session, wanted: str) -> Model:
    """The model called `champion`, `latest` or by its id. Raises `KitsError` where there is none."""
    if wanted == "champion":
        model = champion(session)
    elif wanted == "latest":
        model = session.scalars(select(Model).order_by(Model.id.desc())).first()
    elif wanted.isdecimal():
        # SQLite takes no number of more than 64 bits, not even to find nothing.
        model = session.get(Model, int(wanted)) if int(wanted) < 2**31 else None
    else:
        raise KitsError(f"expected a model: champion, latest or a number, got {wanted!r}; look with kits status")
    if model is None:
        raise KitsError(f"expected model {wanted} in the catalog, got none; run kits train, or look with kits status")
    return model
