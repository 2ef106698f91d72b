"""One training, from settings and prepared cases to its best checkpoint; continues where it was stopped.

What decides the steps to come is saved after every epoch: weights, Adam's moments and step count, the scale of a
float16 loss, the epoch, the best score and every epoch's values. The order of the cases and their augmentation are a
function of seed, epoch and place (`loader.Loader`), and the network has no randomness of its own, so nothing else has
to be kept for a resumed training to see, and on a CPU to compute, just what the unbroken one would have.
"""

import fcntl
import json
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kits_core.disk import check_room, free_bytes
from kits_core.errors import KitsError
from kits_core.files import link_or_copy, sha256_of, write_text_atomically, written_aside
from kits_core.network.backend import keras, peak_memory_bytes, uses_xla
from kits_core.network.checkpoint import Progress, kept_states, load_progress, load_state, save_state, state_path
from kits_core.network.config import TrainingConfig
from kits_core.network.loader import Batch, Loader, TrainingCase
from kits_core.network.loss import DiceCrossEntropy, FocalTversky
from kits_core.network.machine import choose_device, choose_policy, running_on
from kits_core.network.unet import DEEP_STRIDES, ResNetUNet
from kits_core.network.validation import Validator
from kits_core.recipe.recipe import Recipe

_MEASURED_STEPS = 3
_BYTES_A_PARAMETER = 3 * 4  # the weight and Adam's two moments, float32
_CHECKPOINTS = 5  # two states, the best epoch of each, and a state being written


@dataclass(frozen=True)
class TrainedModel:
    """The best checkpoint of a training. `score`: mean validation Dice of kidney and tumour, from 0 to 1."""

    path: Path
    sha256: str
    epoch: int
    score: float
    parameters: int


@dataclass(frozen=True)
class Budget:
    """What the rest of a training will take, as its first three steps say.

    `seconds`: of all steps to come, validation not counted. `peak_bytes`: of the graphics card, or of the process.
    `disk_bytes`: of all checkpoints. `policy`: Keras's dtype policy.
    """

    steps: int
    seconds_a_step: float
    seconds: float
    peak_bytes: int
    disk_bytes: int
    free_disk_bytes: int
    device: str
    policy: str


class Watcher(Protocol):
    """Who is told how a training goes, and may end it by raising."""

    def note(self, text: str) -> None:
        """Something out of the ordinary that the training copes with."""

    def budget(self, budget: Budget) -> None:
        """After the third step of a call."""

    def step(self, step: int, steps: int, loss: float) -> None:
        """After every step; `step` counts from the first epoch."""

    def validated(self, cases: int, of: int) -> None:
        """After every validation case of an epoch."""

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Before an epoch's state is saved, so an epoch may be told again after a kill.

        `values`: `loss`, `kidney_dice`, `tumor_dice`, `score` (their mean), `learning_rate`, `seconds` of the whole
        epoch and `step_seconds` of its steps alone.
        """


def train(
    config: TrainingConfig,
    recipe: Recipe,
    *,
    train_cases: Sequence[TrainingCase],
    validation_cases: Sequence[TrainingCase],
    folder: Path,
    watcher: Watcher,
) -> TrainedModel:
    """Train in `folder`, which holds the state of an earlier, stopped call of the same settings or nothing.

    Whoever calls holds the folder (`alone_in`). The best checkpoint is that of the largest mean Dice of kidney and
    tumour over whole validation cases on the recipe's grid. Raises `KitsError` for a loss or weights that are not
    finite (the last good state stays), for a device that is not there or computes otherwise than the one that the
    training began on, and where memory or disk do not suffice.
    """
    write_text_atomically(folder / "config.json", json.dumps(config.to_stored(), indent=2))
    write_text_atomically(folder / "recipe.json", json.dumps(recipe.to_stored(), indent=2))
    device = choose_device(config.device)
    with running_on(device, config):
        training = _Training(config, recipe, folder, device, watcher)
        return training.run(train_cases, selected_cases(validation_cases, config))


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold the folder's lock for the block; the system lets go of it however the process ends.

    Raises `KitsError` while another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise KitsError(
                f"{folder.name}: expected no one else to train it, got another process that does; wait for it, or "
                "stop it first"
            ) from error
        yield


def selected_cases(cases: Sequence[TrainingCase], config: TrainingConfig) -> Sequence[TrainingCase]:
    """The validation cases on which the best epoch is chosen, in the order of `cases`."""
    if config.selection_cases is None or config.selection_cases >= len(cases):
        return cases
    chosen = np.random.default_rng(config.seed).choice(len(cases), config.selection_cases, replace=False)
    return [cases[index] for index in sorted(chosen)]


def build_model(config: TrainingConfig, recipe: Recipe, policy: str = "float32") -> Any:
    """A compiled network with seeded initial weights. `policy`: Keras's dtype policy."""
    model = ResNetUNet(
        shape=recipe.shape,
        filters=config.filters,
        normalisation=config.normalisation,
        deep_supervision=config.deep_supervision,
        policy=policy,
        seed=config.seed,
    )
    parts = config.batch_size // config.cases_at_once
    optimizer = keras.optimizers.Adam(config.learning_rate, gradient_accumulation_steps=parts if parts > 1 else None)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    losses: Any = _loss(config)
    weights = None
    if config.deep_supervision:
        # Each coarser output counts half as much as the one before, all together as much as one.
        shares = [0.5**place for place in range(1 + len(DEEP_STRIDES))]
        losses, weights = [_loss(config) for _ in shares], [share / sum(shares) for share in shares]
    model.compile(optimizer=optimizer, loss=losses, loss_weights=weights, jit_compile=uses_xla())
    # Made in the first step instead, Adam's variables have TensorFlow trace it twice: 18 s for the demo's, not 8.
    model.optimizer.build(model.trainable_variables)
    return model


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """Adam's step size in an epoch (1 is the first): constant, or down a half cosine (Loshchilov & Hutter 2017)."""
    if config.final_learning_rate is None:
        return config.learning_rate
    share = (epoch - 1) / max(1, config.epochs - 1)
    span = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + span * (1 + math.cos(math.pi * share)) / 2


def train_on(model: Any, batch: Batch, cases_at_once: int) -> float:
    """One step on a batch, in parts of `cases_at_once` whose gradients add up; the batch's mean loss."""
    losses = []
    for start in range(0, len(batch.cases), cases_at_once):
        part = slice(start, start + cases_at_once)
        targets: Any = batch.labels[part]
        if model.deep_supervision:
            targets = [targets, *(targets[:, ::stride, ::stride, ::stride] for stride in DEEP_STRIDES)]
        losses.append(float(model.train_on_batch(batch.images[part], targets, return_dict=True)["loss"]))
    return float(np.mean(losses))


def _loss(config: TrainingConfig) -> Any:
    background, per = config.loss_background, config.loss_per
    if config.loss == "dice_cross_entropy":
        return DiceCrossEntropy(background=background, per=per)
    weights = config.miss_weight, config.false_alarm_weight, config.focus
    return FocalTversky(*weights, background=background, per=per)


@dataclass
class _Training:
    config: TrainingConfig
    recipe: Recipe
    folder: Path
    device: str
    watcher: Watcher
    _step_seconds: list[float] = field(default_factory=list)

    def run(self, train_cases: Sequence[TrainingCase], validation_cases: Sequence[TrainingCase]) -> TrainedModel:
        config = self.config
        policy = choose_policy(config.precision, self.device, whole_batches=config.cases_at_once == config.batch_size)
        begun = load_state(self.folder / "state", self.watcher.note)
        model, progress = begun or (build_model(config, self.recipe, policy), Progress())
        if model.policy != policy:
            raise KitsError(
                f"{self.folder.name}: expected to go on in {model.policy}, as it was begun, got the device "
                f"{self.device}, where its settings mean {policy}; go on where it was begun, or train anew with other "
                "settings"
            )
        self._keep_best(progress)
        loader = Loader(train_cases, self.recipe, config.batch_size, config.seed)
        validator = Validator(model, validation_cases, self.recipe)
        while progress.epoch < config.epochs and progress.epochs_without_gain < config.patience:
            self._check_disk(model)
            epoch, start = progress.epoch + 1, time.perf_counter()
            model.optimizer.learning_rate = learning_rate(config, epoch)
            values = self._run_epoch(model, loader, epoch)
            _check_weights(model, epoch)
            values |= validator.scores(self.watcher.validated)
            values |= {"learning_rate": learning_rate(config, epoch), "seconds": time.perf_counter() - start}
            best_epoch, best_score = progress.best_epoch, progress.best_score
            if values["score"] > best_score:
                best_epoch, best_score = epoch, values["score"]
            progress = Progress(epoch, best_epoch, best_score, [*progress.history, values])
            self.watcher.epoch(epoch, values)
            save_state(self.folder / "state", model, progress)
            self._keep_best(progress)
        best = self._best(progress.best_epoch)
        self._drop_bests_but({best})
        return TrainedModel(best, sha256_of(best), progress.best_epoch, progress.best_score, int(model.count_params()))

    def _run_epoch(self, model: Any, loader: Loader, epoch: int) -> dict[str, float]:
        losses, before = [], len(self._step_seconds)
        for step, batch in enumerate(loader.epoch(epoch), start=1):
            start = time.perf_counter()
            loss = train_on(model, batch, self.config.cases_at_once)
            self._step_seconds.append(time.perf_counter() - start)
            _check_finite(loss, epoch, step, batch)
            losses.append(loss)
            done, steps = (epoch - 1) * len(loader) + step, self.config.epochs * len(loader)
            if len(self._step_seconds) == _MEASURED_STEPS:
                self.watcher.budget(self._budget(model, steps - done))
            self.watcher.step(done, steps, loss)
        return {"loss": float(np.mean(losses)), "step_seconds": sum(self._step_seconds[before:])}

    def _budget(self, model: Any, steps: int) -> Budget:
        seconds = statistics.median(self._step_seconds[1:])  # the first one compiles
        return Budget(
            steps=steps,
            seconds_a_step=seconds,
            seconds=seconds * steps,
            peak_bytes=peak_memory_bytes(),
            disk_bytes=_disk_bytes(model),
            free_disk_bytes=free_bytes(self.folder),
            device=self.device,
            policy=model.policy,
        )

    def _check_disk(self, model: Any) -> None:
        files = {stat.st_ino: stat.st_size for stat in (path.stat() for path in self.folder.rglob("*.keras"))}
        check_room(self.folder, max(0, _disk_bytes(model) - sum(files.values())), "checkpoints")

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best_epoch_{epoch:05d}.keras"

    def _keep_best(self, progress: Progress) -> None:
        """Give the newest state a second name where it is the best; the best of the state before it stays, too.

        Where a kill came between a state and this, the next call starts here.
        """
        best, states = self._best(progress.best_epoch), self.folder / "state"
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
                bests.add(self._best(load_progress(state).best_epoch))
        self._drop_bests_but(bests)

    def _drop_bests_but(self, kept: set[Path]) -> None:
        for path in set(self.folder.glob("best_epoch_*.keras")) - kept:
            path.unlink()


def _disk_bytes(model: Any) -> int:
    a_parameter = _BYTES_A_PARAMETER + 4 * bool(model.optimizer.gradient_accumulation_steps)
    return int(model.count_params()) * a_parameter * _CHECKPOINTS


def _check_weights(model: Any, epoch: int) -> None:
    """A step's loss is that of the weights before it, so the last one's come to light here."""
    if not all(np.isfinite(weights).all() for weights in model.get_weights()):
        raise KitsError(
            f"epoch {epoch}, last step: expected finite weights, got others; lower the learning rate; the state of the "
            "epoch before is kept"
        )


def _check_finite(loss: float, epoch: int, step: int, batch: Batch) -> None:
    if not math.isfinite(loss):
        raise KitsError(
            f"epoch {epoch}, step {step} ({', '.join(batch.cases)}): expected a finite loss, got {loss}; "
            "lower the learning rate, or look at these cases; the state of the last whole epoch is kept"
        )
