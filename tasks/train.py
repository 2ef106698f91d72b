"""One training, its epochs and its model in the catalog. Keras is imported inside the task that trains."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact

from db.models import PreparedCase, RunStatus, SplitMember, Subset, TrainingRun
from db.queries import ingest as ingest_queries
from db.queries import prepare as prepare_queries
from db.queries import split as split_queries
from db.queries import training as queries
from db.settings import Settings, current_settings
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.network.config import TrainingConfig
from kits_core.network.loader import TrainingCase
from kits_core.recipe.recipe import Recipe
from tasks.catalog import catalog, flow_run_id
from tasks.policy import CATALOG, TRAINING
from tasks.progress import report_progress
from tasks.split import check_members


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
    """A model in the catalog. `champion`: whether it has become the one that prediction uses."""

    run_id: int
    model_id: int
    epoch: int
    score: float
    champion: bool


@task(name="plan-training", **CATALOG)
def plan_training(dataset: str | None, split_id: int | None, recipe: Recipe, config: TrainingConfig) -> TrainingPlan:
    """Find the split and its prepared files, and open the run, or take up the one that was begun."""
    with catalog() as session:
        row = ingest_queries.find_dataset(session, dataset)
        split = split_queries.find_split(session, row.id, split_id)
        recipe_row = prepare_queries.ensure_recipe(session, recipe.hash, recipe.model_dump(mode="json"), flow_run_id())
        members = split_queries.members(session, split.id)
        check_members(members)
        _check_prepared(members, prepare_queries.prepared_of(session, recipe_row.id), recipe)
        run = queries.start_or_resume_run(
            session,
            recipe_id=recipe_row.id,
            split_id=split.id,
            config=config.model_dump(mode="json"),
            config_hash=config.hash,
            flow_run_id=flow_run_id(),
        )
        validation = sum(member.subset is Subset.VALIDATION for member in members)
        finished = run.status is RunStatus.COMPLETED
        return TrainingPlan(run.id, split.id, len(members) - validation, validation, finished)


@task(name="train-network", task_run_name="run {run_id} · train", **TRAINING)
def train_network(run_id: int) -> Trained:
    """Train a run to its end, from where it stands, and register its best checkpoint."""
    from kits_core.network.backend import environment  # noqa: PLC0415 - imports TensorFlow
    from kits_core.network.training import train  # noqa: PLC0415

    settings = current_settings()
    with catalog() as session:
        run = session.get_one(TrainingRun, run_id)
        run.environment = environment()
        config, recipe = TrainingConfig.model_validate(run.config), Recipe.model_validate(run.recipe.settings)
        cases = {
            subset: _training_cases(settings, split_queries.members(session, run.split_id, subset),
                                    prepare_queries.prepared_of(session, run.recipe_id))
            for subset in Subset
        }  # fmt: skip
    with noting_the_end(run_id):
        watcher = _Watcher(run_id, config.epochs)
        model = train(
            config,
            recipe,
            train_cases=cases[Subset.TRAIN],
            validation_cases=cases[Subset.VALIDATION],
            folder=run_folder(settings, run_id),
            on_epoch=watcher.epoch,
            on_step=watcher.step,
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
        champion = queries.propose(session, row)
    return Trained(run_id, row.id, model.epoch, model.score, champion)


def trained_before(run_id: int) -> Trained:
    """The model of a run that is finished."""
    with catalog() as session:
        model = session.get_one(TrainingRun, run_id).model
        if model is None:
            raise KitsError(f"run {run_id}: expected the model of a completed run in the catalog, got none")
        return Trained(run_id, model.id, model.epoch, model.score, model.is_champion)


def run_folder(settings: Settings, run_id: int) -> Path:
    """Where a run keeps its settings, state and best checkpoint."""
    return settings.runs / f"run_{run_id:05d}"


@contextmanager
def noting_the_end(run_id: int) -> Iterator[None]:
    """Writes into the catalog why a run stopped when the block does not end well."""
    try:
        yield
    except BaseException as error:
        status = RunStatus.FAILED if isinstance(error, Exception) else RunStatus.CANCELLED
        with catalog() as session:
            queries.end_run(session, run_id, status, str(error) or type(error).__name__)
        raise


class _Watcher:
    """Tells the terminal, the dashboard and the catalog how a training goes."""

    def __init__(self, run_id: int, epochs: int) -> None:
        self._run_id, self._epochs = run_id, epochs
        self._note = "starting"
        self._log = get_run_logger()
        self._artifact: UUID = create_progress_artifact(0.0, key="training", description=f"Run {run_id}")  # type: ignore[assignment]

    def step(self, step: int, steps: int, loss: float) -> None:
        report_progress("train", step, steps, self._note or f"loss {loss:.3f}")

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        self._note = (
            f"epoch {epoch}/{self._epochs} · loss {values['loss']:.3f} · "
            f"Dice kidney {values['kidney_dice']:.3f} tumour {values['tumor_dice']:.3f}"
        )
        self._log.info(self._note)
        update_progress_artifact(self._artifact, 100 * epoch / self._epochs, description=self._note)
        with catalog() as session:
            queries.record_epoch(session, self._run_id, epoch, values)


def _check_prepared(members: list[SplitMember], prepared: Mapping[int, PreparedCase], recipe: Recipe) -> None:
    stale = [
        member.case.name
        for member in members
        if member.case_id not in prepared or not prepare_queries.is_current(prepared[member.case_id], member.case)
    ]
    if stale:
        raise KitsError(
            f"recipe {recipe.hash}: expected prepared files of all {len(members)} cases of the split, got none or old "
            f"ones of {len(stale)} ({', '.join(stale[:3])}, ...); run kits prepare with the same settings"
        )


def _training_cases(
    settings: Settings, members: list[SplitMember], prepared: Mapping[int, PreparedCase]
) -> list[TrainingCase]:
    cases = []
    for member in members:
        row = prepared[member.case_id]
        if row.label_path is None:
            raise KitsError(f"{member.case.name}: expected prepared labels, got an image alone; run kits ingest again")
        case = TrainingCase(member.case.name, settings.absolute(row.image_path), settings.absolute(row.label_path))
        for path, sha256 in ((case.image_path, row.image_sha256), (case.label_path, row.label_sha256)):
            if not path.is_file() or sha256_of(path) != sha256:
                raise KitsError(
                    f"{case.name}: expected {path} with SHA-256 {sha256}, as it was prepared, got another or no file; "
                    "delete it and run kits prepare"
                )
        cases.append(case)
    return cases
