"""Reports a training to the terminal, the dashboard, TensorBoard and the catalog, without slowing it down."""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact

from db.queries import training as queries
from kits_core.disk import readable
from kits_core.report.data_url import data_url
from tasks.beside import Beside
from tasks.cancel import CancelledRunError, check_cancelled
from tasks.catalog import catalog, reading
from tasks.progress import report_progress, say
from tasks.trackers import Ending, Follower

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

    from kits_core.network.training import Budget

_LOOK_EVERY_S = 5.0
_DRAW_EVERY_S = 30.0
_DASHBOARD_S = 10.0
"""How long a finished training waits for a dashboard that does not answer."""
_RECORDS_S = 600.0
"""How long it waits for the catalog; after that it fails, and the next call writes what is missing."""
_TRACKER_S = 60.0
"""How long it waits for MLflow or Weights & Biases."""
_ENDING_S = 3.0
"""How long a training that was stopped waits for each."""


class TrainingWatcher:
    """The watcher that `kits_core.network.training.train` reports to. Used as a context manager, inside of a task.

    The Prefect server has a thread of its own here, the catalog and TensorBoard another one, and each tracker too. Each
    may be slow, hang or be gone: the training goes on. An epoch that could not be written is tried again until the
    training ends.
    """

    def __init__(self, run_id: int, epochs: int, folder: Path, trackers: Sequence[Follower] = ()) -> None:
        self._run_id, self._epochs, self._folder, self._trackers = run_id, epochs, folder, trackers
        self._note = "starting"
        self._log = get_run_logger()
        self._artifact: UUID | None = None
        self._cancelled: CancelledRunError | None = None
        self._looked = self._drawn = time.monotonic()
        self._board: SummaryWriter | None = None
        self._steps, self._percent = 0, 0.0
        self._dashboard = Beside("dashboard", self._dashboard_is_away)
        self._records = Beside("records", self._catalog_is_away, retry=True)
        self._dashboard.put("progress", self._show_progress)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._percent = 100.0
        self._dashboard.put("progress", self._show_progress)
        self._records.put("board", self._close_board)
        self._dashboard.close(_DASHBOARD_S if kind is None else _ENDING_S)
        try:
            self._records.close(_RECORDS_S if kind is None else _ENDING_S)
        except Exception as error:
            if kind is None:
                kind = type(error)
                raise
        finally:
            self._end_trackers(kind)

    def note(self, text: str) -> None:
        """See `kits_core.network.training.Watcher`."""
        self._log.warning(text)
        say(text)

    def resumed(self, history: Sequence[Mapping[str, float]]) -> None:
        """See `kits_core.network.training.Watcher`."""
        for epoch, values in enumerate(history, start=1):
            self._records.put(("epoch", epoch), partial(self._record, epoch, values))
            self._tell_trackers(epoch, values)

    def budget(self, budget: "Budget") -> None:
        """See `kits_core.network.training.Watcher`."""
        text = _describe(budget)
        self._log.info(text)
        say(text)
        page = f"# Run {self._run_id}\n\n{text}\n"
        self._dashboard.put(
            "budget",
            lambda: create_markdown_artifact(page, key="training-budget", description="What a training takes"),
        )

    def step(self, step: int, steps: int, loss: float) -> None:
        """See `kits_core.network.training.Watcher`. Raises `CancelledRunError`."""
        self._steps, self._percent = step, 100 * step / steps
        self._records.put(("step", step), lambda: self._open_board(step).add_scalar("step/loss", loss, step))
        report_progress("train", step, steps, self._note)
        self._look()

    def validated(self, cases: int, of: int) -> None:
        """See `kits_core.network.training.Watcher`. Raises `CancelledRunError`."""
        report_progress("validate", cases, of, self._note)
        self._look()

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """See `kits_core.network.training.Watcher`."""
        self._note = (
            f"epoch {epoch}/{self._epochs} · loss {values['loss']:.3f} · "
            f"Dice kidney {values['kidney_dice']:.3f} tumour {values['tumor_dice']:.3f}"
        )
        self._log.info(self._note)
        steps = self._steps
        self._records.put(("epoch", epoch), partial(self._record, epoch, values))
        self._records.put(("board", epoch), lambda: self._show_on_board(steps, values))
        self._tell_trackers(epoch, values)
        if time.monotonic() - self._drawn > _DRAW_EVERY_S:
            self._drawn = time.monotonic()
            self._dashboard.put("curve", self._draw)

    # === What the training's thread does ===

    def _look(self) -> None:
        """Every few seconds, queue a progress update and a check whether someone has cancelled the run."""
        if self._cancelled is not None:
            raise self._cancelled
        if time.monotonic() - self._looked > _LOOK_EVERY_S:
            self._looked = time.monotonic()
            self._dashboard.put("cancelled", self._ask)
            self._dashboard.put("progress", self._show_progress)

    def _tell_trackers(self, epoch: int, values: Mapping[str, float]) -> None:
        for tracker in self._trackers:
            tracker.epoch(epoch, values)

    def _end_trackers(self, kind: type[BaseException] | None) -> None:
        cancelled = kind is not None and issubclass(kind, CancelledRunError)
        ending: Ending = "completed" if kind is None else "cancelled" if cancelled else "failed"
        for tracker in self._trackers:
            if error := tracker.end(ending, _TRACKER_S if kind is None else _ENDING_S):
                self._log.warning("%s was not told all of the training (%s); the catalog has it", tracker.name, error)

    # === What the dashboard's thread does ===

    def _ask(self) -> None:
        try:
            check_cancelled(
                f"kits train --resume {self._run_id} goes on after the last whole epoch, and so does the same command"
            )
        except CancelledRunError as error:
            self._cancelled = error

    def _show_progress(self) -> None:
        if self._artifact is None:
            self._artifact = create_progress_artifact(  # type: ignore[assignment]
                0.0, key="training", description=f"Run {self._run_id}"
            )
        update_progress_artifact(self._artifact, self._percent, description=self._note)  # type: ignore[arg-type]

    def _draw(self) -> None:
        from kits_core.report.figures import learning_curve  # noqa: PLC0415 - seaborn takes a second

        with reading() as session:
            curve = learning_curve(queries.history(session, self._run_id))
        page = f"# Run {self._run_id}\n\n{self._note}\n\n![learning curve]({data_url(curve)})\n"
        create_markdown_artifact(page, key="learning-curve", description="A training that is under way")

    def _dashboard_is_away(self, error: Exception) -> None:
        self._log.warning("the dashboard could not be told how the training goes (%s); it goes on", error)

    # === What the records' thread does ===

    def _record(self, epoch: int, values: Mapping[str, float]) -> None:
        with catalog() as session:
            queries.record_epoch(session, self._run_id, epoch, values)

    def _open_board(self, step: int) -> "SummaryWriter":
        if self._board is None:
            from tensorboardX import SummaryWriter  # noqa: PLC0415 - a third of a second

            # Remove entries after the state that this call resumes from: they would be there twice.
            self._board = SummaryWriter(str(self._folder / "tensorboard"), purge_step=step)
        return self._board

    def _show_on_board(self, step: int, values: Mapping[str, float]) -> None:
        board = self._open_board(step)
        for name, value in values.items():
            board.add_scalar(f"epoch/{name}", value, step)
        board.flush()

    def _close_board(self) -> None:
        if self._board is not None:
            self._board.close()

    def _catalog_is_away(self, error: Exception) -> None:
        self._log.warning("an epoch could not be written (%s); the training goes on, and it is tried again", error)


def _describe(budget: "Budget") -> str:
    return (
        f"{budget.steps} steps to go at {budget.seconds_a_step:.2g} s: {timedelta(seconds=round(budget.seconds))} and "
        f"validation ({budget.device}, {budget.policy}) · peak memory {readable(budget.peak_bytes)} · checkpoints "
        f"{readable(budget.disk_bytes)} of {readable(budget.free_disk_bytes)} free"
    )
