"""Rows that count as running, and whether a process really works on them: the home's locks decide."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import CursorResult, ScalarResult, select, update
from sqlalchemy.orm import Session

from db.engine import catalog_session, reading_session
from db.models import Evaluation, Prediction, RunStatus, TrainingRun
from db.models.base import now
from db.settings import Settings
from kits_core.at_work import AtWork, is_held, read

CRASHED = "Its process ended without an error message; the same call goes on where it was."
CANCELLED = "It was cancelled from the dashboard; the same call goes on where it was."

Row = TrainingRun | Evaluation | Prediction
_TABLES: tuple[type[Row], ...] = (TrainingRun, Evaluation, Prediction)


@dataclass(frozen=True)
class OngoingWork:
    """A piece of work under way. `what`: such as `run 3`, or a flow. `said`: the note of its process, if any.

    `settings`: those that differ from their defaults, in words.
    """

    what: str
    dataset: str | None
    settings: str
    said: AtWork | None


def flow_run_files(settings: Settings) -> Path:
    """The folder of the files that flow runs hold while they run (`kits_core.at_work`)."""
    return settings.locks / "flow-runs"


def flow_run_file(settings: Settings, flow_run_id: object) -> Path:
    """The file that a flow run holds while it runs."""
    return flow_run_files(settings) / f"{flow_run_id}.lock"


def run_folder(settings: Settings, run_id: int) -> Path:
    """Where a training keeps its settings, state, best checkpoint, model card and TensorBoard files."""
    return settings.runs / f"run_{run_id:05d}"


def turn_file(settings: Settings, at: str) -> Path:
    """The lock file of those who take turns at something."""
    return settings.locks / f"{at}.lock"


def end_dead_rows(settings: Settings, was_cancelled: Callable[[str], bool]) -> list[str]:
    """Mark rows that count as running, but have no process, as crashed or cancelled; returns them, as `run 3`.

    `was_cancelled`: whether Prefect calls a flow run cancelled. Rows whose locks are not in this home stay as they are:
    another machine, with its own home, may be working on them. Raises `KitsError` for a catalog that cannot be reached.
    """
    with reading_session(settings) as session:
        dead = [row for row in _running(session) if _is_dead(settings, row)]
    ended = []
    for row in dead:
        cancelled = row.flow_run_id is not None and was_cancelled(row.flow_run_id)
        with catalog_session(settings) as session:
            if _end(session, row, cancelled=cancelled):
                ended.append(name_of(row))
    return ended


def ongoing_work(settings: Settings) -> list[OngoingWork]:
    """All work under way: rows, also those of another home's processes, and this home's other flows."""
    files = {path for path in flow_run_files(settings).glob("*.lock") if is_held(path)}
    found = []
    with reading_session(settings) as session:
        for row in _running(session):
            if not _is_dead(settings, row):
                file = flow_run_file(settings, row.flow_run_id)
                found.append(OngoingWork(name_of(row), *_dataset_and_settings(row), read(file)))
                files.discard(file)
    others = [said for file in sorted(files) if (said := read(file)) is not None]
    return found + [OngoingWork(said.what, None, "", said) for said in sorted(others, key=lambda said: said.since)]


def name_of(row: Row) -> str:
    """A row in words, as `run 3`."""
    kind = {TrainingRun: "run", Evaluation: "evaluation", Prediction: "prediction"}[type(row)]
    return f"{kind} {row.id}"


def _running(session: Session) -> Iterator[Row]:
    for table in _TABLES:
        running = select(table).where(table.status == RunStatus.RUNNING).order_by(table.id)
        yield from cast("ScalarResult[Row]", session.scalars(running))


def _dataset_and_settings(row: Row) -> tuple[str | None, str]:
    """Dataset and settings."""
    if isinstance(row, Prediction):
        models = ", ".join(f"model {link.model_id}" for link in row.models if not link.locates)
        return None, " · ".join([models] + ["flips"] * row.flips)
    if isinstance(row, Evaluation):
        return row.split.dataset.name, " · ".join([f"model {row.model_id}", row.subset] + ["flips"] * row.flips)
    recipe = row.recipe.read().model_dump(exclude_defaults=True, exclude={"frame", "shape", "locator"})
    differing = recipe | row.read_config().model_dump(exclude_defaults=True)
    grid = f"{row.recipe.read().frame} {row.recipe.read().shape}"
    parts = [grid, f"split {row.split_id}", *(f"{name} {value}" for name, value in differing.items())]
    return row.split.dataset.name, " · ".join(parts)


def _is_dead(settings: Settings, row: Row) -> bool:
    """Whether a lock of this home shows that no process works on a row."""
    places = [flow_run_file(settings, row.flow_run_id)]
    if isinstance(row, TrainingRun):
        places.append(run_folder(settings, row.id) / "lock")
    elif isinstance(row, Evaluation):
        places.append(turn_file(settings, f"evaluation-{row.id}"))
    there = [path for path in places if path.is_file()]
    return bool(there) and not any(is_held(path) for path in there)


def _end(session: Session, row: Row, *, cancelled: bool) -> bool:
    """End a row if it is still as it was read. Returns whether it was: another process may have taken it up since."""
    table: Any = type(row)
    status = RunStatus.CANCELLED if cancelled else RunStatus.CRASHED
    changed: dict[str, Any] = {"status": status, "ended_at": now()}
    if not isinstance(row, Evaluation):
        changed["error"] = CANCELLED if cancelled else CRASHED
    as_seen = (table.id == row.id, table.status == RunStatus.RUNNING, table.flow_run_id == row.flow_run_id)
    done = cast("CursorResult[Any]", session.execute(update(table).where(*as_seen).values(**changed)))
    return done.rowcount == 1
