"""One training, its epochs and its model in the catalog. Keras is imported inside the task that trains."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact
from sqlalchemy.orm import Session
from tensorboardX import SummaryWriter

from db.models import PreparedCase, RunStatus, SplitMember, Subset, TrainingRun
from db.queries import ingest as ingest_queries
from db.queries import prepare as prepare_queries
from db.queries import split as split_queries
from db.queries import training as queries
from db.settings import Settings, current_settings
from kits_core.errors import KitsError
from kits_core.files import sha256_of, write_text_atomically
from kits_core.network.config import TrainingConfig
from kits_core.network.loader import TrainingCase
from kits_core.recipe.recipe import Recipe
from kits_core.report.card import model_card
from kits_core.report.data_url import data_url
from kits_core.report.figures import learning_curve
from tasks.cancel import CancelledRunError, check_cancelled, surviving_the_server
from tasks.catalog import catalog, flow_run_id, reading
from tasks.policy import CATALOG, TRAINING
from tasks.progress import report_progress, say
from tasks.report import lineage_of
from tasks.split import check_members

if TYPE_CHECKING:
    from kits_core.network.training import Budget

_LOOK_EVERY_S = 5.0
_DRAW_EVERY_S = 30.0


@dataclass(frozen=True)
class TrainingPlan:
    """A run in the catalog, and how much it trains on. `finished`: an earlier call has trained it to the end."""

    run_id: int
    split_id: int
    train: int
    validation: int
    finished: bool


@dataclass(frozen=True)
class Trained:
    """A model in the catalog.

    `champion`: it is the one that prediction uses. `rival_id`: the champion that it beats on the same recipe and split.
    """

    run_id: int
    model_id: int
    sha256: str
    epoch: int
    score: float
    champion: bool
    rival_id: int | None


@task(name="plan-training", **CATALOG)
def plan_training(dataset: str | None, split_id: int | None, recipe: Recipe, config: TrainingConfig) -> TrainingPlan:
    """Find the split and its prepared files, and open the run, or take up the one that was begun."""
    with catalog() as session:
        row = ingest_queries.find_dataset(session, dataset)
        split = split_queries.find_split(session, row.id, split_id)
        recipe_row = prepare_queries.ensure_recipe(session, recipe.hash, recipe.model_dump(mode="json"), flow_run_id())
        run = queries.start_or_resume_run(
            session,
            recipe_id=recipe_row.id,
            split_id=split.id,
            config=config.model_dump(mode="json"),
            config_hash=config.hash,
            flow_run_id=flow_run_id(),
        )
        return _plan(session, run)


@task(name="plan-resumption", **CATALOG)
def plan_resumption(run_id: int) -> TrainingPlan:
    """Take up a run that was begun, with the settings that it has in the catalog."""
    with catalog() as session:
        run = queries.find_run(session, run_id)
        if run.status is not RunStatus.COMPLETED:
            queries.take_up(session, run, flow_run_id())
        return _plan(session, run)


@task(name="find-folds", **CATALOG)
def find_folds(dataset: str | None, split_id: int | None) -> tuple[int, int]:
    """Id and number of folds of a split. Raises `KitsError` for one without folds."""
    with catalog() as session:
        split = split_queries.find_split(session, ingest_queries.find_dataset(session, dataset).id, split_id)
        if split.folds is None:
            raise KitsError(f"split {split.id}: expected folds, got none; make a split with kits split --folds 5")
        return split.id, split.folds


@task(name="train-network", task_run_name="run {run_id} · train", **TRAINING)
def train_network(run_id: int) -> Trained:
    """Train a run to its end, from where it stands, and register its best checkpoint."""
    from kits_core.network.environment import environment  # noqa: PLC0415 - imports TensorFlow
    from kits_core.network.training import train  # noqa: PLC0415

    settings = current_settings()
    folder = run_folder(settings, run_id)
    with noting_the_end(run_id):
        with catalog() as session:
            run = session.get_one(TrainingRun, run_id)
            run.environment = environment()
            config, recipe = TrainingConfig.model_validate(run.config), Recipe.model_validate(run.recipe.settings)
            prepared = prepare_queries.prepared_of(session, run.recipe_id)
            cases = {
                subset: _training_cases(settings, members, prepared) for subset, members in _sides(session, run).items()
            }
            write_text_atomically(folder / "environment.json", json.dumps(run.environment, indent=2))
        with _Watcher(run_id, config.epochs, folder) as watcher:
            model = train(
                config,
                recipe,
                train_cases=cases[Subset.TRAIN],
                validation_cases=cases[Subset.VALIDATION],
                folder=folder,
                watcher=watcher,
            )
    with catalog() as session:
        row = queries.register_model(
            session,
            run_id,
            epoch=model.epoch,
            path=settings.relative(model.path),
            sha256=model.sha256,
            score=model.score,
            parameters=model.parameters,
            flow_run_id=flow_run_id(),
        )
        queries.end_run(session, run_id, RunStatus.COMPLETED)
        rival = queries.rival(session, row)
        used = [prepared[member.case_id] for side in _sides(session, row.run).values() for member in side]
        write_text_atomically(folder / "README.md", model_card(lineage_of(session, row), _hash_of(used)))
        return Trained(
            run_id, row.id, row.sha256, model.epoch, model.score, row.is_champion, rival.id if rival else None
        )


@task(name="promote-model", **CATALOG)
def promote_model(wanted: str) -> int:
    """Make a model the champion; its id."""
    with catalog() as session:
        model = queries.find_model(session, wanted)
        queries.promote(session, model)
        return model.id


def trained_before(run_id: int) -> Trained:
    """The model of a run that is finished."""
    with catalog() as session:
        model = session.get_one(TrainingRun, run_id).model
        if model is None:
            raise KitsError(f"run {run_id}: expected the model of a completed run in the catalog, got none")
        return Trained(run_id, model.id, model.sha256, model.epoch, model.score, model.is_champion, None)


def run_folder(settings: Settings, run_id: int) -> Path:
    """Where a run keeps its settings, state, best checkpoint, model card and TensorBoard files."""
    return settings.runs / f"run_{run_id:05d}"


_ENDED = "It was ended from outside ({}); the same call goes on after the last whole epoch."


@contextmanager
def noting_the_end(run_id: int) -> Iterator[None]:
    """Writes into the catalog why a run stopped when the block does not end well."""
    try:
        yield
    except BaseException as error:
        cancelled = isinstance(error, CancelledRunError) or not isinstance(error, Exception)
        status = RunStatus.CANCELLED if cancelled else RunStatus.FAILED
        with catalog() as session:
            queries.end_run(session, run_id, status, str(error) or _ENDED.format(type(error).__name__))
        raise


class _Watcher:
    """Tells the terminal, the dashboard, TensorBoard and the catalog how a training goes. Used as a context manager."""

    def __init__(self, run_id: int, epochs: int, folder: Path) -> None:
        self._run_id, self._epochs, self._folder = run_id, epochs, folder
        self._note = "starting"
        self._log = get_run_logger()
        self._artifact: UUID = create_progress_artifact(0.0, key="training", description=f"Run {run_id}")  # type: ignore[assignment]
        self._looked = self._drawn = time.monotonic()
        self._board: SummaryWriter | None = None
        self._steps, self._percent = 0, 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with surviving_the_server():
            percent = 100.0 if kind is None else self._percent
            update_progress_artifact(self._artifact, percent, description=self._note)
        if self._board is not None:
            self._board.close()

    def budget(self, budget: "Budget") -> None:
        """See `kits_core.network.training.Watcher`."""
        text = _describe(budget)
        self._log.info(text)
        say(text)
        page = f"# Run {self._run_id}\n\n{text}\n"
        with surviving_the_server():
            create_markdown_artifact(page, key="training-budget", description="What a training takes")

    def step(self, step: int, steps: int, loss: float) -> None:
        """See `kits_core.network.training.Watcher`. Raises `CancelledRunError`."""
        if self._board is None:
            # What was written after the state that this call goes on from would stand there twice.
            self._board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=step)
        self._steps, self._percent = step, 100 * step / steps
        self._board.add_scalar("step/loss", loss, step)
        report_progress("train", step, steps, self._note)
        if time.monotonic() - self._looked > _LOOK_EVERY_S:
            self._looked = time.monotonic()
            with surviving_the_server():
                update_progress_artifact(self._artifact, self._percent, description=self._note)
            check_cancelled(f"kits train --resume {self._run_id} goes on after the last whole epoch")

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """See `kits_core.network.training.Watcher`."""
        self._note = (
            f"epoch {epoch}/{self._epochs} · loss {values['loss']:.3f} · "
            f"Dice kidney {values['kidney_dice']:.3f} tumour {values['tumor_dice']:.3f}"
        )
        self._log.info(self._note)
        with catalog() as session:
            queries.record_epoch(session, self._run_id, epoch, values)
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"epoch/{name}", value, self._steps)
            self._board.flush()
        if time.monotonic() - self._drawn > _DRAW_EVERY_S:
            self._drawn = time.monotonic()
            with reading() as session:
                curve = learning_curve(queries.history(session, self._run_id))
            page = f"# Run {self._run_id}\n\n{self._note}\n\n![learning curve]({data_url(curve)})\n"
            with surviving_the_server():
                create_markdown_artifact(page, key="learning-curve", description="A training that is under way")


def _describe(budget: "Budget") -> str:
    return (
        f"{budget.steps} steps to go at {budget.seconds_a_step:.2g} s: {timedelta(seconds=round(budget.seconds))} and "
        f"validation ({budget.device}, {budget.policy}) · peak memory {budget.peak_bytes / 1e9:.1f} GB · checkpoints "
        f"{budget.disk_bytes / 1e9:.2f} GB of {budget.free_disk_bytes / 1e9:.0f} GB free"
    )


def _plan(session: Session, run: TrainingRun) -> TrainingPlan:
    sides = _sides(session, run)
    check_members(sides)
    members = [member for side in sides.values() for member in side]
    prepared = prepare_queries.prepared_of(session, run.recipe_id)
    _check_prepared(members, prepared, run.recipe.hash)
    return TrainingPlan(
        run.id,
        run.split_id,
        train=len(sides[Subset.TRAIN]),
        validation=len(sides[Subset.VALIDATION]),
        finished=run.status is RunStatus.COMPLETED,
    )


def _sides(session: Session, run: TrainingRun) -> dict[Subset, list[SplitMember]]:
    return {subset: split_queries.side(session, run.split_id, subset, run.config.get("fold")) for subset in Subset}


def _check_prepared(members: Sequence[SplitMember], prepared: Mapping[int, PreparedCase], recipe_hash: str) -> None:
    stale = [
        member.case.name
        for member in members
        if member.case_id not in prepared or not prepare_queries.is_current(prepared[member.case_id], member.case)
    ]
    if stale:
        raise KitsError(
            f"recipe {recipe_hash}: expected prepared files of all {len(members)} cases of the split, got none or old "
            f"ones of {len(stale)} ({', '.join(stale[:3])}, ...); run kits prepare with the same settings"
        )


def _training_cases(
    settings: Settings, members: Sequence[SplitMember], prepared: Mapping[int, PreparedCase]
) -> list[TrainingCase]:
    cases = []
    for member in members:
        row = prepared[member.case_id]
        if row.label_path is None:
            raise KitsError(f"{member.case.name}: expected prepared labels, got an image alone; run kits ingest again")
        case = TrainingCase(
            member.case.name,
            settings.absolute(row.image_path),
            settings.absolute(row.label_path),
            kidney_kept=1.0 if row.kidney_kept is None else row.kidney_kept,
            tumor_kept=1.0 if row.tumor_kept is None else row.tumor_kept,
        )
        for path, sha256 in ((case.image_path, row.image_sha256), (case.label_path, row.label_sha256)):
            if not path.is_file() or sha256_of(path) != sha256:
                raise KitsError(
                    f"{case.name}: expected {path} with SHA-256 {sha256}, as it was prepared, got another or no file; "
                    "delete it and run kits prepare"
                )
        cases.append(case)
    return cases


def _hash_of(prepared: Sequence[PreparedCase]) -> str:
    lines = sorted(f"{row.case.name} {row.image_sha256} {row.label_sha256}" for row in prepared)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
