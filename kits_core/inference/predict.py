"""Prediction of one scan, on its original grid."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kits_core.geometry import Volume, restore_labels
from kits_core.geometry.body import Box, body_box
from kits_core.geometry.organs import kidneys_box
from kits_core.recipe.frame import frame_scan, stored_hu
from kits_core.recipe.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network and the recipe of its input. `flips`: see `predict_probabilities`.

    `others`: networks of the same recipe, as of the other folds; the mean of all their probabilities counts.
    """

    model: Any
    recipe: Recipe
    flips: bool = False
    others: tuple[Any, ...] = ()

    def probabilities(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Class probabilities float32 `(x, y, z, classes)` of a standardised image float32 `(x, y, z)`, in RAS."""
        total = predict_probabilities(self.model, image, flips=self.flips)
        for other in self.others:
            total = total + predict_probabilities(other, image, flips=self.flips)
        return total / np.float32(1 + len(self.others))


def predict_probabilities(model: Any, image: NDArray[np.float32], *, flips: bool = False) -> NDArray[np.float32]:
    """Class probabilities float32 `(x, y, z, classes)` of a standardised image float32 `(x, y, z)`, in RAS.

    `flips`: whether to average the predictions for the image and for its left-right mirror image. Training mirrors in
    the same way only.
    """
    found = model.predict_on_batch(image[None, ..., None])
    full = np.asarray((found[0] if model.deep_supervision else found)[0], dtype=np.float32)
    if not flips:
        return full
    return (full + predict_probabilities(model, image[::-1])[::-1]) / np.float32(2)


def segment(case: str, image: Volume, segmenter: Segmenter, locator: Segmenter | None = None) -> NDArray[np.uint8]:
    """Labels 0 to 2 on the scan's original grid, uint8.

    A network of the frame `kidneys` is shown the box that `find_kidneys` gives with `locator`, a network of the frame
    `volume`. Raises `CaseError` for a scan that the recipe refuses, and `ValueError` for a network of the frame
    `kidneys` without a locator.
    """
    recipe, kidneys = segmenter.recipe, None
    if recipe.frame == "kidneys":
        if locator is None:
            raise ValueError("a network of the frame kidneys needs one of the frame volume to find them")
        kidneys = find_kidneys(case, image, locator, recipe.margin_mm)
    grid = frame_scan(case, image, recipe, kidneys)
    network_input = recipe.standardise(stored_hu(case, image, grid))
    return restore_labels(segmenter.probabilities(network_input), grid)


def find_kidneys(case: str, image: Volume, locator: Segmenter, margin_mm: float) -> Box:
    """The box around the kidneys and tumours that a network of the frame `volume` finds, specks left out.

    Where it finds none, the box is the whole body: a coarse result is better than one in the wrong place.
    """
    found = segment(case, image, locator)
    return kidneys_box(found, image.spacing_mm, margin_mm, clean=True) or body_box(image)
