"""The state of a training on disk: the newest finished epoch, complete or not there."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from kits_core.errors import KitsError
from kits_core.files import PARTIAL_SUFFIX, write_text_atomically, written_aside
from kits_core.network.backend import keras, uses_xla
from kits_core.network.losses import LOSSES
from kits_core.network.machine import choose_device, choose_policy
from kits_core.network.segmentation import SegmentationNetwork

_KEPT = 2
_STATES = "epoch_?????.keras"  # what a kill left half-written is called epoch_00003.keras.1234.partial.keras


@dataclass(frozen=True)
class Progress:
    """The progress of a training: finished epochs, the best of them and every epoch's values so far."""

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def epochs_without_gain(self) -> int:
        """What early stopping counts."""
        return self.epoch - self.best_epoch


def load_network(path: Path) -> SegmentationNetwork:
    """The network of a `.keras` file, for prediction: in the precision it was trained in, in float32 on a CPU.

    Raises `KitsError` for another model, and for one that cannot be loaded without running code of its own.
    """
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, BadZipFile) as error:
        raise _no_network(path, f"one that cannot be loaded safely ({type(error).__name__}: {error!s:.200})") from error
    if not isinstance(model, SegmentationNetwork):
        raise _no_network(path, f"a {type(model).__name__}")
    if choose_device("auto") == "cpu" and model.policy != (wanted := choose_policy("auto", "cpu")):
        weights = model.get_weights()
        model = SegmentationNetwork.from_config({**model.get_config(), "policy": wanted})
        model.set_weights(weights)
    model.jit_compile = uses_xla()
    return model


def take_weights(model: SegmentationNetwork, path: Path) -> None:
    """Give a network the weights of the one in a `.keras` file, and the running means of its normalisation.

    Raises `KitsError` as `load_network` does, and for a network of other layers.
    """
    weights = load_network(path).get_weights()
    wanted, got = ([tuple(each.shape) for each in one] for one in (model.get_weights(), weights))
    if got != wanted:
        raise KitsError(
            f"{path}: expected a network of {len(wanted)} arrays of weights, shaped as those of the one that is to be "
            f"trained, got {len(got)} arrays of other shapes; begin with a network of the same settings and classes"
        )
    model.set_weights(weights)


def _no_network(path: Path, got: str) -> KitsError:
    return KitsError(
        f"{path}: expected a network that kits train has left, got {got}; put the right file back, or train again"
    )


def save_state(folder: Path, model: Any, progress: Progress) -> None:
    """Save an epoch's state. The model's file is written last: if it is there, its progress file is there too."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text_atomically(_progress_path(folder, progress.epoch), json.dumps(asdict(progress)))
    with written_aside(state_path(folder, progress.epoch), suffix=".keras") as aside:
        model.save(aside)
    for path in kept_states(folder)[_KEPT:]:
        path.unlink()
        path.with_suffix(".json").unlink(missing_ok=True)


def load_state(folder: Path, note: Callable[[str], None]) -> tuple[Any, Progress] | None:
    """Model and progress of the newest finished epoch that can be read; None where no epoch was finished.

    `note` is called with a message for each state that cannot be read. Raises `KitsError` if none can be read.
    """
    for torn in folder.glob(f"*{PARTIAL_SUFFIX}*"):
        torn.unlink()
    LOSSES.load()  # states of releases before 2026-11 name the class of theirs
    states = kept_states(folder)
    for path in states:
        try:
            return keras.saving.load_model(path, safe_mode=True), load_progress(path)
        except (OSError, ValueError, TypeError, KeyError, BadZipFile) as error:
            note(f"{path} cannot be read ({type(error).__name__}: {str(error)[:200]}); it is left out")
    if states:
        raise KitsError(
            f"{folder}: expected the state of an epoch, got {len(states)} that cannot be read; delete this folder and "
            "train again, from the first epoch"
        )
    return None


def load_progress(state: Path) -> Progress:
    """What is known of a state's epoch. Raises `OSError`, `ValueError` or `TypeError` where it cannot be read."""
    return Progress(**json.loads(state.with_suffix(".json").read_text(encoding="utf-8")))


def kept_states(folder: Path) -> list[Path]:
    """The states' model files, the newest first."""
    return sorted(folder.glob(_STATES), reverse=True)


def state_path(folder: Path, epoch: int) -> Path:
    """The file of an epoch's model and optimizer."""
    return folder / f"epoch_{epoch:05d}.keras"


def _progress_path(folder: Path, epoch: int) -> Path:
    return folder / f"epoch_{epoch:05d}.json"
