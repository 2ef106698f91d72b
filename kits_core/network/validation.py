"""Validation during a training: Dice over whole cases, on the recipe's grid."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kits_core.labels import Label
from kits_core.network.backend import keras, ops, uses_xla
from kits_core.network.loader import TrainingCase, read_pair
from kits_core.recipe.recipe import Recipe

_CLASSES = 3


class Validator:
    """Scores a network, whose weights may change between calls, on the same cases."""

    def __init__(self, model: Any, cases: Sequence[TrainingCase], recipe: Recipe) -> None:
        self._cases, self._recipe = cases, recipe
        output = model.output[0] if isinstance(model.output, list) else model.output
        # The labels are decided where the network runs: a third of a byte a voxel comes back instead of twelve.
        self._labels_of = keras.Model(model.input, ops.cast(ops.argmax(output, axis=-1), "uint8"))
        self._labels_of.jit_compile = uses_xla()

    def scores(self, after_case: Callable[[int, int], None] = lambda *_: None) -> dict[str, float]:
        """`kidney_dice` and `tumor_dice`, means over the cases, and their mean, `score`.

        What lies outside a case's grid (`TrainingCase.kept`) counts as missed. `after_case` is told how many cases are
        done, and of how many; it may end the validation by raising.
        """
        kidney: list[float] = []
        tumor: list[float] = []
        for case, image, truth in self._pairs():
            found = np.asarray(self._labels_of.predict_on_batch(image[None, ..., None]))[0]
            pairs = np.bincount((truth * np.uint8(_CLASSES) + found).ravel(), minlength=_CLASSES**2)
            counts = pairs.reshape(_CLASSES, _CLASSES)
            kidney.append(_dice(counts, Label.KIDNEY, case.kidney_kept))
            tumor.append(_dice(counts, Label.TUMOR, case.tumor_kept))
            after_case(len(tumor), len(self._cases))
        means = float(np.mean(kidney)), float(np.mean(tumor))
        return {"kidney_dice": means[0], "tumor_dice": means[1], "score": sum(means) / 2}

    def _pairs(self) -> Iterator[tuple[TrainingCase, NDArray[np.float32], NDArray[np.uint8]]]:
        """Every case; the next one is read while one is used."""
        with ThreadPoolExecutor(1, thread_name_prefix="validation") as pool:
            coming = [pool.submit(read_pair, case, self._recipe) for case in self._cases[:1]]
            for place, case in enumerate(self._cases):
                image, labels = coming.pop().result()
                coming += [pool.submit(read_pair, after, self._recipe) for after in self._cases[place + 1 : place + 2]]
                yield case, self._recipe.central(image), self._recipe.central(labels)


def _dice(counts: NDArray[np.int64], label: Label, kept: float) -> float:
    """Dice of a label from counts of voxels `(truth, found)`; `kept`: the share of the truth inside the grid."""
    if kept == 0:
        return 0.0
    total = counts[label].sum() / kept + counts[:, label].sum()
    return float(2 * counts[label, label] / total) if total else 1.0
