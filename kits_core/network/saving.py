"""Keeping a training's states and its best epoch on disk, beside the training where it need not wait."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from kits_core.disk import check_room
from kits_core.errors import KitsError
from kits_core.files import link_or_copy, written_aside
from kits_core.network.checkpoint import Progress, kept_states, load_progress, save_state, state_path
from kits_core.network.config import TrainingConfig

_BYTES_A_PARAMETER = 3 * 4  # the weight and Adam's two moments, float32
_CHECKPOINTS = 5  # two states, the best epoch of each, and a state being written
_STABLE_CHECKPOINTS = 2  # the last state before the decay, and its best epoch
_STABLE = "stable"


class Saver:
    """Writes the state of an epoch in a thread of its own. As a context manager: its end waits for the last one."""

    def __init__(self, folder: Path, config: TrainingConfig) -> None:
        self._folder, self._config = folder, config
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True)

    def save(self, model: Any, progress: Progress) -> None:
        """Begin to write the state of a finished epoch; `model` must stay as it is until `wait` has returned.

        The last one with a constant step size is kept for good where others follow: a longer training goes on from it.
        """
        self.wait()
        self._saving = self._thread.submit(self._save, model, progress)

    def wait(self) -> None:
        """Until the last state is on disk. Raises what writing it raised."""
        if self._saving is not None:
            saving, self._saving = self._saving, None
            saving.result()

    def _save(self, model: Any, progress: Progress) -> None:
        save_state(self._folder / "state", model, progress)
        self.keep(progress)

    def best(self, epoch: int) -> Path:
        """The file of an epoch that was the best so far."""
        return self._folder / f"best_epoch_{epoch:05d}.keras"

    def keep(self, progress: Progress) -> None:
        """Give the newest state a second name where it is the best, and where it is the last stable one before others.

        The best of the state before it stays, too. Where a kill came between a state and this, the next call starts
        here. Raises `KitsError` for a best epoch whose file has gone.
        """
        self._keep_best(progress)
        if 0 < progress.epoch == self._config.stable_epochs < self._config.epochs:
            _keep(self._folder, progress, self._folder / _STABLE)

    def _keep_best(self, progress: Progress) -> None:
        best, states = self.best(progress.best_epoch), self._folder / "state"
        if progress.epoch and not best.exists():
            state = state_path(states, progress.best_epoch)
            if not state.exists():
                raise KitsError(
                    f"{best}: expected the best epoch so far, got no file; put it back, or delete {states} and train "
                    "again, from the first epoch"
                )
            with written_aside(best, suffix=".keras") as aside:
                link_or_copy(state, aside)
        bests = {best}
        for state in kept_states(states):
            with suppress(OSError, ValueError, TypeError):  # what cannot be read is no state to go on from
                bests.add(self.best(load_progress(state).best_epoch))
        self.drop_bests_but(bests)

    def drop_bests_but(self, kept: set[Path]) -> None:
        """Delete the files of other best epochs."""
        for path in set(self._folder.glob("best_epoch_*.keras")) - kept:
            path.unlink()

    def check_room(self, model: Any) -> None:
        """Raise `KitsError` where the disk has no room for the checkpoints that are still to be written."""
        files = {stat.st_ino: stat.st_size for stat in (path.stat() for path in self._folder.rglob("*.keras"))}
        check_room(self._folder, max(0, disk_bytes(model, self._config) - sum(files.values())), "checkpoints")


def begin_from(folder: Path, other: Path, *, constant: bool) -> int:
    """Begin the training in `folder` with what another one had learnt by its last stable epoch; that epoch.

    `constant`: all epochs of the other one are stable. A training that has begun is left as it is: 0. Raises
    `KitsError` where the other one has left no such state.
    """
    if kept_states(folder / "state"):
        return 0
    source = other if constant else other / _STABLE
    states = kept_states(source / "state")
    if not states:
        raise KitsError(
            f"{other.name}: expected the state of its last epoch with a constant step size, got none in "
            f"{source / 'state'}: it ended before that epoch, or the files were deleted; train anew"
        )
    progress = load_progress(states[0])
    _keep(source, progress, folder)
    return progress.epoch


def _keep(source: Path, progress: Progress, target: Path) -> None:
    """A second name, in another folder, for the state of an epoch and the best one so far. The state's comes last."""
    state = state_path(Path("state"), progress.epoch)
    for name in (f"best_epoch_{progress.best_epoch:05d}.keras", state.with_suffix(".json"), state):
        with written_aside(target / name, suffix=Path(name).suffix) as aside:
            link_or_copy(source / name, aside)


def disk_bytes(model: Any, config: TrainingConfig) -> int:
    """What all checkpoints of a training take."""
    a_parameter = _BYTES_A_PARAMETER + 4 * bool(model.optimizer.gradient_accumulation_steps)
    checkpoints = _CHECKPOINTS + _STABLE_CHECKPOINTS * (0 < config.stable_epochs < config.epochs)
    return int(model.count_params()) * a_parameter * checkpoints
