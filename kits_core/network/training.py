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
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from kits_core.disk import free_bytes
from kits_core.errors import KitsError
from kits_core.files import sha256_of, write_text_atomically
from kits_core.network.augment import augmented
from kits_core.network.backend import keras, ops, peak_memory_bytes, uses_xla
from kits_core.network.checkpoint import Progress, load_state, take_weights
from kits_core.network.config import TrainingConfig
from kits_core.network.loader import Batch, Loader, TrainingCase
from kits_core.network.machine import choose_device, choose_policy, running_on
from kits_core.network.saving import Saver, disk_bytes
from kits_core.network.segmentation import SegmentationNetwork
from kits_core.network.steps import Steps, steps_of
from kits_core.network.validation import Validator
from kits_core.recipe.recipe import Recipe

_MEASURED_STEPS = 3
_LOSSES_LATE = 2  # steps that are sent before the loss of an older one is waited for


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
    """Gets a training's progress. An exception that it raises ends the training."""

    def note(self, text: str) -> None:
        """Something out of the ordinary that the training copes with."""

    def resumed(self, history: Sequence[Mapping[str, float]]) -> None:
        """Before the first step of a call that goes on: the values of all epochs that earlier ones have finished."""

    def budget(self, budget: Budget) -> None:
        """After the third step of a call."""

    def step(self, step: int, steps: int, loss: float) -> None:
        """After every step, when its loss has come back; `step` counts from the first epoch."""

    def validated(self, cases: int, of: int) -> None:
        """After every validation case of an epoch."""

    def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
        """Called before an epoch's state is saved: after a kill, an epoch may be reported twice.

        `values`: `loss`, `kidney_dice`, `tumor_dice`, `score` (their mean), `learning_rate`, `seconds` of the whole
        epoch and `step_seconds` of its steps, what waited for batches included.
        """


def train(
    config: TrainingConfig,
    recipe: Recipe,
    *,
    train_cases: Sequence[TrainingCase],
    validation_cases: Sequence[TrainingCase],
    folder: Path,
    watcher: Watcher,
    base: Path | None = None,
) -> TrainedModel:
    """Train in `folder`, which holds the state of an earlier, stopped call of the same settings or nothing.

    `base`: file of the network whose weights it begins with; None for random ones.
    Whoever calls holds the folder (`alone_in`). The best checkpoint is that of the largest mean Dice of kidney and
    tumour over whole validation cases on the recipe's grid. Raises `KitsError` for a loss or weights that are not
    finite (the last good state stays), for a device that is not there or computes otherwise than the one that the
    training began on, and where memory or disk do not suffice.
    """
    write_text_atomically(folder / "config.json", json.dumps(config.to_stored(), indent=2))
    write_text_atomically(folder / "recipe.json", json.dumps(recipe.to_stored(), indent=2))
    device = choose_device(config.device)
    with running_on(device, config):
        training = _Training(config, recipe, folder, device, watcher, base)
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
    model = SegmentationNetwork(
        shape=recipe.shape,
        filters=config.filters,
        architecture=config.architecture,
        normalisation=config.normalisation,
        deep_supervision=config.deep_supervision,
        policy=policy,
        seed=config.seed,
    )
    parts = config.batch_size // config.cases_at_once
    optimizer = keras.optimizers.Adam(config.learning_rate, gradient_accumulation_steps=parts if parts > 1 else None)
    if policy == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    # The loss is not compiled in: `Steps` takes it from the settings.
    model.compile(optimizer=optimizer, jit_compile=uses_xla())
    # Made in the first step instead, Adam's variables have TensorFlow trace it twice: 18 s for the demo's, not 8.
    model.optimizer.build(model.trainable_variables)
    return model


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """Adam's step size in an epoch (1 is the first).

    Constant in the stable epochs; then down a half cosine (Loshchilov & Hutter 2017) that ends with the last epoch. It
    begins at the last stable epoch, or at the first one where there is none.
    """
    if config.final_learning_rate is None or epoch <= config.stable_epochs:
        return config.learning_rate
    first = max(1, config.stable_epochs)
    share = (epoch - first) / max(1, config.epochs - first)
    span = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + span * (1 + math.cos(math.pi * share)) / 2


@dataclass
class _Training:
    config: TrainingConfig
    recipe: Recipe
    folder: Path
    device: str
    watcher: Watcher
    base: Path | None
    _step_seconds: list[float] = field(default_factory=list)
    """From the loss of the step before, or from the beginning of the epoch, to that of the step; of this call."""
    _last_arrival: float = 0.0

    def run(self, train_cases: Sequence[TrainingCase], validation_cases: Sequence[TrainingCase]) -> TrainedModel:
        config = self.config
        policy = choose_policy(config.precision, self.device, whole_batches=config.cases_at_once == config.batch_size)
        begun = load_state(self.folder / "state", self.watcher.note)
        model, progress = begun or (self._new_model(policy), Progress())
        if model.policy != policy:
            raise KitsError(
                f"{self.folder.name}: expected to go on in {model.policy}, as it was begun, got the device "
                f"{self.device}, where its settings mean {policy}; go on where it was begun, or train anew with other "
                "settings"
            )
        if progress.history:
            self.watcher.resumed(progress.history)
        with Saver(self.folder, self.config) as saver:
            saver.keep(progress)
            progress = self._run_epochs(model, progress, saver, train_cases, validation_cases)
            saver.wait()
            best = saver.best(progress.best_epoch)
            saver.drop_bests_but({best})
        return TrainedModel(best, sha256_of(best), progress.best_epoch, progress.best_score, int(model.count_params()))

    def _new_model(self, policy: str) -> Any:
        model = build_model(self.config, self.recipe, policy)
        if self.base is not None:
            take_weights(model, self.base)
        return model

    def _run_epochs(
        self,
        model: Any,
        progress: Progress,
        saver: Saver,
        train_cases: Sequence[TrainingCase],
        validation_cases: Sequence[TrainingCase],
    ) -> Progress:
        config, steps = self.config, steps_of(model, self.config)
        loader = Loader(train_cases, self.recipe, config.batch_size, config.seed)
        validator = Validator(model, validation_cases, self.recipe)
        while progress.epoch < config.epochs and progress.epochs_without_gain < config.patience:
            saver.check_room(model)
            epoch, start = progress.epoch + 1, time.perf_counter()
            model.optimizer.learning_rate = learning_rate(config, epoch)
            values = self._run_epoch(model, steps, loader, epoch)
            saver.wait()
            steps.end()
            _check_weights(model, epoch)
            values |= validator.scores(self.watcher.validated)
            values |= {"learning_rate": learning_rate(config, epoch), "seconds": time.perf_counter() - start}
            best_epoch, best_score = progress.best_epoch, progress.best_score
            if values["score"] > best_score:
                best_epoch, best_score = epoch, values["score"]
            progress = Progress(epoch, best_epoch, best_score, [*progress.history, values])
            self.watcher.epoch(epoch, values)
            saver.save(model, progress)
            if not steps.spares_the_model:
                saver.wait()
        return progress

    def _run_epoch(self, model: Any, steps: Steps, loader: Loader, epoch: int) -> dict[str, float]:
        """All steps of an epoch. The next batch is sent before a loss is waited for, so a device always has work."""
        before = len(self._step_seconds)
        self._last_arrival = time.perf_counter()
        steps.begin()
        losses: list[float] = []
        under_way: deque[_Sent] = deque()
        with closing(loader.epoch(epoch)) as batches:
            coming = self._next_batch(batches)
            while coming is not None:
                batch, images, labels = coming
                place = len(losses) + len(under_way) + 1
                under_way.append(_Sent(epoch, place, len(loader), batch.cases, steps.step(images, labels)))
                coming = self._next_batch(batches)
                while len(under_way) > (_LOSSES_LATE if coming is not None else 0):
                    losses.append(self._arrived(model, under_way.popleft()))
        return {"loss": float(np.mean(losses)), "step_seconds": sum(self._step_seconds[before:])}

    def _next_batch(self, batches: Generator[Batch]) -> tuple[Batch, Any, Any] | None:
        batch = next(batches, None)
        return None if batch is None else (batch, *augmented(batch, self.recipe))

    def _arrived(self, model: Any, sent: "_Sent") -> float:
        loss = sent.read_loss()
        now = time.perf_counter()
        self._step_seconds.append(now - self._last_arrival)
        self._last_arrival = now
        done, of = (sent.epoch - 1) * sent.steps + sent.step, self.config.epochs * sent.steps
        if len(self._step_seconds) == _MEASURED_STEPS:
            self.watcher.budget(self._budget(model, of - done))
        self.watcher.step(done, of, loss)
        return loss

    def _budget(self, model: Any, steps: int) -> Budget:
        seconds = statistics.median(self._step_seconds[1:])  # the first one compiles
        return Budget(
            steps=steps,
            seconds_a_step=seconds,
            seconds=seconds * steps,
            peak_bytes=peak_memory_bytes(),
            disk_bytes=disk_bytes(model, self.config),
            free_disk_bytes=free_bytes(self.folder),
            device=self.device,
            policy=model.policy,
        )


def _check_weights(model: Any, epoch: int) -> None:
    """A step's loss is that of the weights before it, so the last one's come to light here."""
    if not all(bool(ops.all(ops.isfinite(weights))) for weights in model.weights):
        raise KitsError(
            f"epoch {epoch}, last step: expected finite weights, got others; lower the learning rate; the state of the "
            "epoch before is kept"
        )


@dataclass(frozen=True)
class _Sent:
    """A step whose loss is not back yet: the `step`th of the `steps` of an epoch, and the loss of each of its parts."""

    epoch: int
    step: int
    steps: int
    cases: tuple[str, ...]
    losses: Sequence[Any]

    def read_loss(self) -> float:
        """Wait for the mean loss. Raises `KitsError` for one that is not finite."""
        loss = float(np.mean([ops.convert_to_numpy(part) for part in self.losses]))
        if not math.isfinite(loss):
            raise KitsError(
                f"epoch {self.epoch}, step {self.step} ({', '.join(self.cases)}): expected a finite loss, got {loss}; "
                "lower the learning rate, or look at these cases; the state of the last whole epoch is kept"
            )
        return loss
