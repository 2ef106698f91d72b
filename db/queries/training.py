"""Training runs, epochs and models."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from db.models import EpochMetric, Model, PreparedCase, RunStatus, Split, TrainedCase, TrainingRun
from db.models.base import now
from db.queries.turns import find_or_add, take_turn
from kits_core.errors import KitsError


def find_or_open_run(
    session: Session,
    *,
    recipe_id: int,
    split_id: int,
    config: Mapping[str, Any],
    config_hash: str,
    prepared: Collection[PreparedCase],
    flow_run_id: str | None,
) -> TrainingRun:
    """The run of a recipe, split, configuration and prepared files (of all members of the split), new or as it is."""
    key = {"recipe_id": recipe_id, "split_id": split_id, "config_hash": config_hash, "data_hash": data_hash(prepared)}
    run = find_or_add(session, TrainingRun, key, config=dict(config), environment={}, flow_run_id=flow_run_id)
    if not run.cases:
        run.cases = [
            TrainedCase(case_id=row.case_id, image_sha256=row.image_sha256, label_sha256=row.label_sha256)
            for row in prepared
        ]
    session.flush()
    return run


def data_hash(prepared: Iterable[PreparedCase]) -> str:
    """SHA-256 over names and hashes of prepared files."""
    lines = sorted(f"{row.case.name} {row.image_sha256} {row.label_sha256}" for row in prepared)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def take_up(
    session: Session, run: TrainingRun, flow_run_id: str | None, environment: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Note that a run is under way, in a flow run and on a machine. Earlier machines stay noted.

    Returns the differences from its last machine, as values before and now.
    """
    run.status, run.error, run.ended_at = RunStatus.RUNNING, None, None
    run.flow_run_id = flow_run_id
    before = run.environment or environment
    history = {name: before.get(name, _NOT_RECORDED) for name in {**before, **environment}}
    changed = {}
    for name, values in history.items():
        last, value = values.rsplit(_THEN, maxsplit=1)[-1], environment.get(name, _NOT_RECORDED)
        if last != value:
            changed[name] = (last, value)
    run.environment = {
        name: f"{values}{_THEN}{changed[name][1]}" if name in changed else values for name, values in history.items()
    }
    session.flush()
    return changed


_THEN = ", then "
_NOT_RECORDED = "not recorded"


def record_epoch(session: Session, run_id: int, epoch: int, values: Mapping[str, float]) -> None:
    """Write the values of an epoch, replacing earlier ones."""
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
    """Write the model of a run, replacing an earlier one."""
    model = find_or_add(session, Model, {"run_id": run_id}, flow_run_id=flow_run_id)
    model.epoch, model.path, model.sha256, model.score, model.parameters = epoch, path, sha256, score, parameters
    session.flush()
    return model


def champion(session: Session) -> Model | None:
    """The model that prediction uses by default."""
    return session.scalar(select(Model).where(Model.is_champion))


def dice_of(session: Session, model: Model) -> tuple[float, float]:
    """Validation Dice of kidney and tumour of a model, on the recipe's grid; its score where they are not known."""
    rows = session.execute(
        select(EpochMetric.name, EpochMetric.value).where(
            EpochMetric.run_id == model.run_id, EpochMetric.epoch == model.epoch
        )
    ).tuples()
    values = dict(rows.all())
    return values.get("kidney_dice", model.score), values.get("tumor_dice", model.score)


def promote(session: Session, model: Model) -> None:
    """Make a model the champion. Raises `KitsError` if it finds no kidney or no tumour in any validation case."""
    kidney, tumor = dice_of(session, model)
    if min(kidney, tumor) == 0:
        raise KitsError(
            f"model {model.id}: expected a champion to find kidneys and tumours, got a validation Dice of "
            f"{kidney:.3f} for kidney and {tumor:.3f} for tumour; train longer, or name another model"
        )
    take_turn(session, Model)
    session.execute(update(Model).values(is_champion=False))
    session.flush()
    model.is_champion = True
    session.flush()


def promote_the_first(session: Session, model: Model, least_dice: float) -> None:
    """Make a model the champion if there is none yet and the model is good enough to predict with.

    `least_dice`: what its validation Dice of kidney, and of tumour, has to reach.
    """
    take_turn(session, Model)
    if champion(session) is None and min(dice_of(session, model)) >= least_dice > 0:
        promote(session, model)


def rival(session: Session, model: Model) -> Model | None:
    """The champion that a model may replace: it has a lower score on the same cases with the same recipe.

    The second network of a cascade may also replace its first, which finds the boxes for its recipe. None if the model
    finds no kidney or no tumour: then it cannot be the champion.
    """
    current = champion(session)
    if current is None or current.id == model.id or min(dice_of(session, model)) == 0:
        return None
    comparable = current.run.recipe_id == model.run.recipe_id or (current.sha256 == model.run.recipe.read().locator)
    same_cases = _scored_on(current.run) == _scored_on(model.run)
    return current if comparable and same_cases and model.score > current.score else None


def _scored_on(run: TrainingRun) -> tuple[Any, ...]:
    """The settings that decide which cases a run's score is a mean of."""
    config = run.read_config()
    chosen = config.selection_cases
    return run.split_id, config.fold, chosen, config.seed if chosen else None


def bases(session: Session, run: TrainingRun) -> list[Model]:
    """The model whose weights a run began with, the one that this one began with, and so on, while they are here."""
    found: list[Model] = []
    while (sha256 := run.read_config().begins_with) is not None:
        model = session.scalars(select(Model).where(Model.sha256 == sha256)).first()
        if model is None or model in found:
            break
        found.append(model)
        run = model.run
    return found


def runs_on(session: Session, run_ids: Collection[int]) -> set[int]:
    """The runs, and all that began with the weights of one of them, however far."""
    started = {run.id: run.read_config().begins_with for run in session.scalars(select(TrainingRun))}
    sha256_of = dict(session.execute(select(Model.run_id, Model.sha256)).tuples().all())
    found: set[int] = set()
    more = set(run_ids)
    while more:
        found |= more
        weights = {sha256_of.get(run_id) for run_id in more} - {None}
        more = {run_id for run_id, sha256 in started.items() if sha256 in weights} - found
    return found


def find_run(session: Session, run_id: int) -> TrainingRun:
    """The training run of an id, to go on with. Raises `KitsError` where there is none, and for an imported one."""
    run = session.get(TrainingRun, run_id)
    if run is None:
        raise KitsError(f"expected training run {run_id} in the catalog, got none; look with kits status")
    if run.imported is not None:
        raise KitsError(
            f"run {run_id}: expected a run of this home, got one whose model was imported, without the cases that it "
            "has learnt; start a new one with kits train"
        )
    return run


def find_locator(session: Session, run: TrainingRun, *, held_out: bool) -> Model:
    """The model that finds the kidneys for a run's model: the best-scored of those that see the whole scan.

    Those of the same split and fold come first; an imported model brought its own. `held_out`: take only these, because
    others may have been trained on the held-out cases, and their boxes would be too good. Raises `KitsError` where
    there is none.
    """
    if (origin := run.read_origin()) is not None:
        return model_of_sha256(session, str(origin.locator))

    def same(model: Model) -> bool:
        return (model.run.split_id, model.run.read_config().fold) == (run.split_id, run.read_config().fold)

    models = session.scalars(
        select(Model).join(TrainingRun).join(Split).where(Split.dataset_id == run.split.dataset_id)
    )
    there = [m for m in models if m.run.recipe.read().frame == "volume" and (same(m) or not held_out)]
    if not there:
        fold = run.read_config().fold
        wanted = f"--split {run.split_id}" + ("" if fold is None else f" --fold {fold}")
        raise KitsError(
            "a model of the frame kidneys: expected one of the frame volume, trained on the same cases, that finds "
            f"them, got none; run kits train --frame volume {wanted} first"
        )
    return max(there, key=lambda model: (same(model), model.score))


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
        if model is None and session.scalars(select(Model)).first() is not None:
            raise KitsError(
                "expected a champion, got none: no model has reached the validation Dice that a first one needs (kits "
                "train --champion-dice); name one (--model latest), or choose one by kits promote"
            )
    elif wanted == "latest":
        model = session.scalars(select(Model).order_by(Model.id.desc())).first()
    elif wanted.isdecimal():
        # SQLite refuses numbers of more than 64 bits, even in a query.
        model = session.get(Model, int(wanted)) if int(wanted) < 2**31 else None
    else:
        raise KitsError(f"expected a model: champion, latest or a number, got {wanted!r}; look with kits status")
    if model is None:
        raise KitsError(f"expected model {wanted} in the catalog, got none; run kits train, or look with kits status")
    return model
