"""One training, its epochs and its model in the catalog. Keras is imported inside the task that trains."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import get_run_logger, task
from sqlalchemy.orm import Session

from db.at_work import run_folder
from db.models import Model, RunStatus, Subset, TrainingRun
from db.queries import ingest as ingest_queries
from db.queries import prepare as prepare_queries
from db.queries import split as split_queries
from db.queries import training as queries
from db.settings import current_settings
from kits_core.disk import naming_a_full_disk
from kits_core.errors import KitsError
from kits_core.files import write_text_atomically
from kits_core.network.config import TrainingConfig
from kits_core.recipe.recipe import Recipe
from kits_core.report.card import model_card
from tasks.cancel import how_it_ended
from tasks.catalog import catalog, flow_run_id, reading
from tasks.fine_tune import beginning_with, check_held_out
from tasks.models import check_checkpoint
from tasks.policy import CATALOG, TRAINING
from tasks.progress import say
from tasks.trackers import Tracked, followers
from tasks.training_files import Sides, TrainingFiles, files_of, prepared_of, sides_of
from tasks.watch import TrainingWatcher

if TYPE_CHECKING:
    from kits_core.network.training import TrainedModel


@dataclass(frozen=True)
class TrainingPlan:
    """A run in the catalog, and how much it trains on. `finished`: an earlier call has trained it to the end.

    `left_out`: cases of the split that the recipe refuses. `extends`: the run whose state this one begins with.
    """

    run_id: int
    split_id: int
    train: int
    validation: int
    finished: bool
    left_out: tuple[str, ...] = ()
    extends: int | None = None


@dataclass(frozen=True)
class Trained:
    """A model in the catalog.

    `champion`: it is the one that prediction uses. `rival_id`: the champion that it beats on the same cases.
    `kidney_dice`, `tumor_dice`: of the validation cases, on the recipe's grid.
    """

    run_id: int
    model_id: int
    sha256: str
    epoch: int
    score: float
    champion: bool
    rival_id: int | None
    kidney_dice: float
    tumor_dice: float

    @property
    def standing(self) -> str:
        """What is to be said of it as a champion; empty where there is nothing."""
        if self.champion:
            return "the champion"
        if self.rival_id is not None:
            return f"better than the champion, model {self.rival_id}: kits promote {self.model_id}"
        if min(self.kidney_dice, self.tumor_dice) == 0:
            which = "kidney" if self.kidney_dice == 0 else "tumour"
            return f"it finds no {which} yet and cannot be the champion: train longer"
        return ""


def find_recipe(dataset: str | None, recipe_id: int | None) -> Recipe:
    """The recipe of a number, or the one that trainings of a dataset take by themselves, which is then said."""
    with reading() as session:
        row = ingest_queries.find_dataset(session, dataset)
        recipe = prepare_queries.find_recipe(session, row.id, recipe_id)
        if recipe_id is None:
            say(f"takes the cases of {row.name} as they were prepared by {recipe.name}")
    return recipe


@task(name="plan-training", **CATALOG)
def plan_training(
    dataset: str | None, split_id: int | None, recipe: Recipe, config: TrainingConfig, from_model: str | None = None
) -> TrainingPlan:
    """Find the split and its prepared files, and open the run, or find the one that was begun.

    `from_model`: the model whose weights it begins with, of the same recipe; the network is that model's. Raises
    `KitsError` where that model has learnt a case that is held out.
    """
    with catalog() as session:
        row = ingest_queries.find_dataset(session, dataset)
        split = split_queries.find_split(session, row.id, split_id)
        base = None if from_model is None else queries.find_model(session, from_model)
        if base is not None:
            config = beginning_with(base, config)
        recipe_row = prepare_queries.ensure_recipe(session, recipe.hash, recipe.to_stored(), flow_run_id())
        sides = sides_of(session, split.id, config.fold, recipe_row)
        prepared = prepared_of(session, sides, recipe_row)
        if base is not None:
            held_out = {member.case_id for member in sides.members[Subset.VALIDATION]}
            check_held_out(session, base, [file for file in prepared if file.case_id in held_out])
        run = queries.find_or_open_run(
            session,
            recipe_id=recipe_row.id,
            split_id=split.id,
            config=config.to_stored(),
            config_hash=config.hash,
            prepared=prepared,
            flow_run_id=flow_run_id(),
        )
        plan, checkpoint = _plan(run, sides), _checkpoint(run)
    return _with_its_checkpoint(plan, checkpoint)


@task(name="plan-resumption", **CATALOG)
def plan_resumption(run_id: int) -> TrainingPlan:
    """Find a run that was begun, with the settings that it has in the catalog.

    Raises `KitsError` where the files that it was begun with have been replaced.
    """
    with reading() as session:
        run = queries.find_run(session, run_id)
        sides = sides_of(session, run.split_id, run.read_config().fold, run.recipe)
        plan, checkpoint = _plan(run, sides), _checkpoint(run)
        if not plan.finished:
            _check_files(run, queries.data_hash(prepared_of(session, sides, run.recipe)))
    return _with_its_checkpoint(plan, checkpoint)


@task(name="plan-extension", **CATALOG)
def plan_extension(run_id: int, epochs: int) -> TrainingPlan:
    """Open the run of the same settings with more epochs, or find it; it begins with what the shorter one has learnt.

    Raises `KitsError` for no more epochs than it has, for one without a stable part, and where the files that it was
    begun with have been replaced.
    """
    with catalog() as session:
        base = queries.find_run(session, run_id)
        config = base.read_config()
        if epochs <= config.epochs:
            raise KitsError(f"run {run_id}: expected more than its {config.epochs} epochs to extend it, got {epochs}")
        if config.stable_epochs == 0:
            raise KitsError(
                f"run {run_id}: expected epochs with a constant step size to go on from, got one that fell from the "
                "first epoch on; train anew with --epochs, and with --decay-epochs if it is to be extended later"
            )
        sides = sides_of(session, base.split_id, config.fold, base.recipe)
        prepared = prepared_of(session, sides, base.recipe)
        _check_files(base, queries.data_hash(prepared))
        longer = config.model_copy(update={"epochs": epochs})
        run = queries.find_or_open_run(
            session,
            recipe_id=base.recipe_id,
            split_id=base.split_id,
            config=longer.to_stored(),
            config_hash=longer.hash,
            prepared=prepared,
            flow_run_id=flow_run_id(),
        )
        plan, checkpoint = replace(_plan(run, sides), extends=run_id), _checkpoint(run)
    return _with_its_checkpoint(plan, checkpoint)


def _check_files(run: TrainingRun, found: str) -> None:
    if found != run.data_hash:
        raise KitsError(
            f"run {run.id}: expected the prepared files that it was begun with, got others: their images, "
            "segmentations or the preparation have changed since; run kits train with its settings for a new run"
        )


@task(name="find-folds", **CATALOG)
def find_folds(dataset: str | None, split_id: int | None) -> tuple[int, int]:
    """Id and number of folds of a split. Raises `KitsError` for one without folds."""
    with catalog() as session:
        split = split_queries.find_split(session, ingest_queries.find_dataset(session, dataset).id, split_id)
        if split.folds is None:
            raise KitsError(f"split {split.id}: expected folds, got none; make a split with kits split --folds 5")
        return split.id, split.folds


_TRACKED_FACTS = ("backend", "cpu", "gpus", "keras", "tensorflow", "tensorflow-cpu", "jax", "kits-platform", "revision")

_OTHER_CPU = (
    "run {}: its {} was {} and is now {}; from here on its curve is not, bit for bit, that of an unbroken run "
    "(the catalog has both)"
)


@task(name="train-network", task_run_name="run {run_id} · train", **TRAINING)
def train_network(run_id: int, champion_dice: float, extends: int | None = None) -> Trained:
    """Train a run to its end, from where it stands, and register its best checkpoint.

    `champion_dice`: from what validation Dice on, of kidney and of tumor, a first model becomes the champion.
    `extends`: the run whose state it begins with, where it has none of its own.
    """
    from kits_core.network.environment import environment  # noqa: PLC0415 - imports TensorFlow
    from kits_core.network.training import alone_in, train  # noqa: PLC0415

    settings = current_settings()
    folder = run_folder(settings, run_id)
    with alone_in(folder), noting_the_end(run_id), naming_a_full_disk(folder, "its state and checkpoints"):
        machine = environment() | _origin(folder, run_id, extends)
        with catalog() as session:
            run = session.get_one(TrainingRun, run_id)
            changed = queries.take_up(session, run, flow_run_id(), machine)
            config, recipe = run.read_config(), run.recipe.read()
            write_text_atomically(folder / "environment.json", json.dumps(run.environment, indent=2))
        with reading() as session:
            run = session.get_one(TrainingRun, run_id)
            files = files_of(session, settings, run)
            base = _base(session, config, folder)
            tracked = _tracked(run, folder, files)
        for side in files.values():
            for file in side:
                file.check()
        with TrainingWatcher(run_id, config.epochs, folder, followers(tracked, say)) as watcher:
            for name in ("cpu", "cpu_kernels"):
                if name in changed:
                    watcher.note(_OTHER_CPU.format(run_id, name.replace("_", " "), *changed[name]))
            model = train(
                config,
                recipe,
                train_cases=[file.case for file in files[Subset.TRAIN]],
                validation_cases=[file.case for file in files[Subset.VALIDATION]],
                folder=folder,
                watcher=watcher,
                base=base,
            )
        return _register(run_id, model, champion_dice)


def _tracked(run: TrainingRun, folder: Path, files: Mapping[Subset, Sequence[TrainingFiles]]) -> Tracked:
    """What MLflow and the like get to know: settings, sizes and versions; no case, and no path."""
    dataset = run.split.dataset.name
    settings = {
        "dataset": dataset,
        "recipe": run.recipe.read().name,
        "split": run.split_id,
        "training_cases": len(files[Subset.TRAIN]),
        "validation_cases": len(files[Subset.VALIDATION]),
        "data_hash": run.data_hash,
        **run.read_config().model_dump(mode="json"),
        **{name: run.environment[name] for name in _TRACKED_FACTS if name in run.environment},
    }
    return Tracked(f"{dataset} · run {run.id}", folder, settings)


def _base(session: Session, config: TrainingConfig, folder: Path) -> Path | None:
    """The file of the model whose weights a training begins with; None for random ones, and once it has a state.

    Raises `KitsError` where the file is not as it was.
    """
    from kits_core.network.checkpoint import kept_states  # noqa: PLC0415 - imports TensorFlow

    if config.begins_with is None or kept_states(folder / "state"):
        return None
    model = queries.model_of_sha256(session, config.begins_with)
    path = current_settings().absolute(model.path)
    check_checkpoint(path, model.sha256)
    return path


def _origin(folder: Path, run_id: int, extends: int | None) -> dict[str, str]:
    """Begin with another run's state, where that is asked for; whose state this run began with, for its record."""
    from kits_core.network.checkpoint import kept_states  # noqa: PLC0415
    from kits_core.network.saving import begin_from  # noqa: PLC0415

    note = folder / "extends.txt"
    if extends is not None and not kept_states(folder / "state"):
        settings = current_settings()
        with reading() as session:
            config = queries.find_run(session, extends).read_config()
        # The note first: a state without it would pass for this run's own.
        write_text_atomically(note, f"run {extends}")
        constant = config.final_learning_rate is None
        epoch = begin_from(folder, run_folder(settings, extends), constant=constant)
        say(f"run {run_id} begins with what run {extends} had learnt after epoch {epoch}")
    elif not kept_states(folder / "state"):
        note.unlink(missing_ok=True)
    return {"extends": note.read_text(encoding="utf-8")} if note.exists() else {}


def _register(run_id: int, model: "TrainedModel", champion_dice: float) -> Trained:
    """Note a run's end and its model, and write the model card."""
    from tasks.report import lineage_of  # noqa: PLC0415 - which imports all that draws a report

    settings = current_settings()
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
        queries.promote_the_first(session, row, champion_dice)
        card = model_card(lineage_of(session, row), row.run.data_hash)
        write_text_atomically(run_folder(settings, run_id) / "README.md", card)
        return _trained(session, row)


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
        return _trained(session, model)


def _trained(session: Session, model: Model) -> Trained:
    rival = queries.rival(session, model)
    kidney, tumor = queries.dice_of(session, model)
    return Trained(
        model.run_id,
        model.id,
        model.sha256,
        model.epoch,
        model.score,
        model.is_champion,
        rival_id=rival.id if rival else None,
        kidney_dice=kidney,
        tumor_dice=tumor,
    )


_ENDED = "It was {} ({}); the same call goes on after the last whole epoch."


@contextmanager
def noting_the_end(run_id: int) -> Iterator[None]:
    """Writes into the catalog why a run stopped when the block does not end well."""
    try:
        yield
    except BaseException as error:
        status = how_it_ended(error)
        reason = str(error) or type(error).__name__
        if not isinstance(error, Exception):  # a signal, whose own words are a number at best
            how = "cancelled" if status is RunStatus.CANCELLED else "ended from outside"
            reason = _ENDED.format(how, type(error).__name__)
        with catalog() as session:
            queries.end_run(session, run_id, status, reason)
        raise


def _plan(run: TrainingRun, sides: Sides) -> TrainingPlan:
    for case, reason in sides.left_out.items():
        get_run_logger().warning("%s is left out of the training, the recipe refuses it: %s", case, reason)
    return TrainingPlan(
        run.id,
        run.split_id,
        train=len(sides.members[Subset.TRAIN]),
        validation=len(sides.members[Subset.VALIDATION]),
        finished=run.status is RunStatus.COMPLETED,
        left_out=tuple(sides.left_out),
    )


def _checkpoint(run: TrainingRun) -> tuple[Path, str] | None:
    """Path and SHA-256 of a run's model, where it has one."""
    return None if run.model is None else (current_settings().absolute(run.model.path), run.model.sha256)


def _with_its_checkpoint(plan: TrainingPlan, checkpoint: tuple[Path, str] | None) -> TrainingPlan:
    """The plan, not finished where the checkpoint has gone. Raises `KitsError` where another file is in its place."""
    if checkpoint is None or not checkpoint[0].is_file():
        return replace(plan, finished=False)
    check_checkpoint(*checkpoint)
    return plan
