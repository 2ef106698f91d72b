"""Validation during a training: Dice over whole cases, on the recipe's grid."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kits_core.labels import Label
from kits_core.network.augment import standardised
from kits_core.network.backend import keras, ops, uses_xla
from kits_core.network.loader import PairReader, TrainingCase
from kits_core.recipe.recipe import Recipe

_CLASSES = 3
_READ_AHEAD = 2


class Validator:
    """Scores a network, whose weights may change between calls, on the same cases."""

    def __init__(self, model: Any, cases: Sequence[TrainingCase], recipe: Recipe) -> None:
        self._cases, self._reader = cases, PairReader(recipe)
        self._counts = _counting(model, self._reader.size, recipe)

    def scores(self, after_case: Callable[[int, int], None] = lambda *_: None) -> dict[str, float]:
        """`kidney_dice` and `tumor_dice`, means over the cases, and their mean, `score`.

        What lies outside a case's grid (`TrainingCase.kept`) counts as missed. `after_case` is called with the number
        of cases done and of all; it can stop the validation by raising an error.
        """
        kidney: list[float] = []
        tumor: list[float] = []
        for case, image, truth in self._pairs():
            counts = np.asarray(self._counts.predict_on_batch([image, truth]))[0]
            kidney.append(_dice(counts, Label.KIDNEY, case.kidney_kept))
            tumor.append(_dice(counts, Label.TUMOR, case.tumor_kept))
            after_case(len(tumor), len(self._cases))
        means = float(np.mean(kidney)), float(np.mean(tumor))
        return {"kidney_dice": means[0], "tumor_dice": means[1], "score": sum(means) / 2}

    def _pairs(self) -> Iterator[tuple[TrainingCase, NDArray[np.int16], NDArray[np.uint8]]]:
        """Every case, as stored, `(1, z, y, x)`; the next ones are read while one is used."""
        with ThreadPoolExecutor(1, thread_name_prefix="validation") as pool:
            coming = [pool.submit(self._read, case) for case in self._cases[:_READ_AHEAD]]
            for place, case in enumerate(self._cases):
                image, labels = coming.pop(0).result()
                coming += [pool.submit(self._read, after) for after in self._cases[place + _READ_AHEAD :][:1]]
                yield case, image, labels

    def _read(self, case: TrainingCase) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        images, labels = self._reader.empty(1)
        self._reader.read(case, images[0], labels[0])
        return images, labels


def _counting(model: Any, size: int, recipe: Recipe) -> Any:
    """A model of a stored pair, `(1, z, y, x)` of `size` voxels a side, and the network's labels for it.

    It gives int32 `(1, 3, 3)`: how many voxels of each label (row) the network gave each label (column). Counted where
    the network runs, so that nothing large comes back.
    """
    stored = keras.Input((size,) * 3, batch_size=1, dtype="int16", name="stored")
    truth = keras.Input((size,) * 3, batch_size=1, dtype="uint8", name="truth")
    inner = slice(recipe.context, recipe.context + recipe.shape)
    window = (*recipe.window_hu, recipe.mean_hu, recipe.deviation_hu)
    image, wanted = standardised(stored[:, inner, inner, inner], window), truth[:, inner, inner, inner]
    image, wanted = (ops.transpose(each, (0, 3, 2, 1)) for each in (image, wanted))
    output = model(image[..., None])
    probabilities = output[0] if isinstance(output, list) else output
    found = ops.cast(ops.argmax(probabilities, axis=-1), "uint8")
    counts = [
        ops.sum(ops.cast(ops.logical_and(ops.equal(wanted, row), ops.equal(found, column)), "int32"), axis=(1, 2, 3))
        for row in range(_CLASSES)
        for column in range(_CLASSES)
    ]
    counting = keras.Model([stored, truth], ops.reshape(ops.stack(counts, axis=-1), (1, _CLASSES, _CLASSES)))
    counting.jit_compile = uses_xla()
    return counting


def _dice(counts: NDArray[np.int64], label: Label, kept: float) -> float:
    """Dice of a label from counts of voxels `(truth, found)`; `kept`: the share of the truth inside the grid."""
    if kept == 0:
        return 0.0
    total = counts[label].sum() / kept + counts[:, label].sum()
    return float(2 * counts[label, label] / total) if total else 1.0
