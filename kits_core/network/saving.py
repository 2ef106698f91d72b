"""Keeping a training's states and its best epoch on disk, beside the training where it need not wait."""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from kits_core.disk import check_room
from kits_core.errors import KitsError
from kits_core.files import link_or_copy, written_aside
from kits_core.network.checkpoint import Progress, kept_states, load_progress, save_state, state_path

_BYTES_A_PARAMETER = 3 * 4  # the weight and Adam's two moments, float32
_CHECKPOINTS = 5  # two states, the best epoch of each, and a state being written


class Saver:
    """Writes the state of an epoch in a thread of its own. As a context manager: its end waits for the last one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True)

    def save(self, model: Any, progress: Progress) -> None:
        """Begin to write the state of a finished epoch; `model` must stay as it is until `wait` has returned."""
        self.wait()
        self._saving = self._thread.submit(self._save, model, progress)

    def wait(self) -> None:
        """Until the last state is on disk. Raises what writing it raised."""
        if self._saving is not None:
            saving, self._saving = self._saving, None
            saving.result()

    def _save(self, model: Any, progress: Progress) -> None:
        save_state(self._folder / "state", model, progress)
        self.keep_best(progress)

    def best(self, epoch: int) -> Path:
        """The file of an epoch that was the best so far."""
        return self._folder / f"best_epoch_{epoch:05d}.keras"

    def keep_best(self, progress: Progress) -> None:
        """Give the newest state a second name where it is the best; the best of the state before it stays, too.

        Where a kill came between a state and this, the next call starts here. Raises `KitsError` for a best epoch whose
        file has gone.
        """
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
        check_room(self._folder, max(0, disk_bytes(model) - sum(files.values())), "checkpoints")


def disk_bytes(model: Any) -> int:
    """What all checkpoints of a training take."""
    a_parameter = _BYTES_A_PARAMETER + 4 * bool(model.optimizer.gradient_accumulation_steps)
    return int(model.count_params()) * a_parameter * _CHECKPOINTS
