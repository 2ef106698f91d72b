"""One training, from settings and prepared cases to its best checkpoint; continues where it was stopped."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kits_core.errors import KitsError
from kits_core.files import sha256_of, write_text_atomically
from kits_core.inference.predict import predict_labels
from kits_core.labels import Label
from kits_core.metrics.overlap import dice
from kits_core.network.backend import keras, uses_xla
from kits_core.network.checkpoint import Progress, load_state, save_model, save_state
from kits_core.network.config import TrainingConfig
from kits_core.network.loader import Batch, Loader, TrainingCase, read_pair
from kits_core.network.loss import FocalTversky
from kits_core.network.unet import ResNetUNet
from kits_core.recipe.recipe import Recipe

BEST_NAME = "best.keras"
EpochCallback = Callable[[int, Mapping[str, float]], None]
StepCallback = Callable[[int, int, float], None]


@dataclass(frozen=True)
class TrainedModel:
    """The best checkpoint of a training. `score`: mean validation Dice of kidney and tumour, from 0 to 1."""

    path: Path
    sha256: str
    epoch: int
    score: float
    parameters: int


def train(
    config: TrainingConfig,
    recipe: Recipe,
    *,
    train_cases: Sequence[TrainingCase],
    validation_cases: Sequence[TrainingCase],
    folder: Path,
    on_epoch: EpochCallback,
    on_step: StepCallback,
) -> TrainedModel:
    """Train in `folder`, which holds the state of an earlier, stopped call of the same settings or nothing.

    `on_epoch(epoch, values)` is called before an epoch's state is saved, so it may see an epoch again after a kill;
    `on_step(step, steps, loss)` after every step, `step` counting from the first epoch. The best checkpoint is that of
    the largest mean Dice of kidney and tumour over whole validation cases on the recipe's grid.
    Raises `KitsError` for a loss that is not finite; the last good state stays.
    """
    write_text_atomically(folder / "config.json", config.model_dump_json(indent=2))
    write_text_atomically(folder / "recipe.json", recipe.model_dump_json(indent=2))
    model, progress = load_state(folder / "state") or (build_model(config, recipe), Progress())
    loader = Loader(train_cases, recipe, config.batch_size, config.seed)
    while progress.epoch < config.epochs and progress.epochs_without_gain < config.patience:
        epoch = progress.epoch + 1
        start = time.perf_counter()
        model.optimizer.learning_rate = learning_rate(config, epoch)
        loss = _run_epoch(model, loader, epoch, config.epochs, on_step)
        values = {"loss": loss, **validate(model, validation_cases, recipe)}
        values |= {"learning_rate": learning_rate(config, epoch), "seconds": time.perf_counter() - start}
        best_epoch, best_score = progress.best_epoch, progress.best_score
        if values["score"] > best_score:
            best_epoch, best_score = epoch, values["score"]
            save_model(model, folder / BEST_NAME)
        progress = Progress(epoch, best_epoch, best_score, [*progress.history, values])
        on_epoch(epoch, values)
        save_state(folder / "state", model, progress)
    best = folder / BEST_NAME
    return TrainedModel(best, sha256_of(best), progress.best_epoch, progress.best_score, int(model.count_params()))


def build_model(config: TrainingConfig, recipe: Recipe) -> Any:
    """A compiled network with seeded initial weights."""
    model = ResNetUNet(shape=recipe.shape, filters=config.filters, seed=config.seed)
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss=FocalTversky(config.miss_weight, config.false_alarm_weight, config.focus),
        jit_compile=uses_xla(),
    )
    return model


def learning_rate(config: TrainingConfig, epoch: int) -> float:
    """Adam's step size in an epoch (1 is the first): constant, or down a half cosine (Loshchilov & Hutter 2017)."""
    if config.final_learning_rate is None:
        return config.learning_rate
    share = (epoch - 1) / max(1, config.epochs - 1)
    span = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + span * (1 + math.cos(math.pi * share)) / 2


def validate(model: Any, cases: Sequence[TrainingCase], recipe: Recipe) -> dict[str, float]:
    """Mean Dice over whole cases on the recipe's grid: `kidney_dice`, `tumor_dice` and their mean, `score`."""
    kidney, tumor = [], []
    for case in cases:
        image, truth = (recipe.central(stored) for stored in read_pair(case, recipe))
        found = predict_labels(model, image)
        kidney.append(dice(found == Label.KIDNEY, truth == Label.KIDNEY))
        tumor.append(dice(found == Label.TUMOR, truth == Label.TUMOR))
    means = float(np.mean(kidney)), float(np.mean(tumor))
    return {"kidney_dice": means[0], "tumor_dice": means[1], "score": sum(means) / 2}


def _run_epoch(model: Any, loader: Loader, epoch: int, epochs: int, on_step: StepCallback) -> float:
    losses = []
    for step, batch in enumerate(loader.epoch(epoch), start=1):
        loss = float(model.train_on_batch(batch.images, batch.labels))
        _check_finite(loss, epoch, step, batch)
        losses.append(loss)
        on_step((epoch - 1) * len(loader) + step, epochs * len(loader), loss)
    return float(np.mean(losses))


def _check_finite(loss: float, epoch: int, step: int, batch: Batch) -> None:
    if not math.isfinite(loss):
        raise KitsError(
            f"epoch {epoch}, step {step} ({', '.join(batch.cases)}): expected a finite loss, got {loss}; "
            "lower the learning rate, or look at these cases; the state of the last whole epoch is kept"
        )
