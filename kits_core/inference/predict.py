"""Prediction of one scan, on its original grid."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kits_core.geometry import Volume, restore_labels
from kits_core.geometry.body import Box
from kits_core.geometry.organs import kidneys_box
from kits_core.recipe.frame import frame_scan, stored_hu
from kits_core.recipe.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A trained network and the recipe of its input."""

    model: Any
    recipe: Recipe


def predict_probabilities(model: Any, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities float32 `(x, y, z, classes)` of a standardised image float32 `(x, y, z)`."""
    return np.asarray(model.predict_on_batch(image[None, ..., None])[0], dtype=np.float32)


def predict_labels(model: Any, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The class of largest probability on the network's grid, uint8 `(x, y, z)`."""
    return np.argmax(predict_probabilities(model, image), axis=-1).astype(np.uint8)


def segment(case: str, image: Volume, segmenter: Segmenter, locator: Segmenter | None = None) -> NDArray[np.uint8]:
    """Labels 0 to 2 on the scan's original grid, uint8.

    A network of the frame `kidneys` is shown the box around what `locator`, a network of the frame `volume`, finds. If
    that finds nothing, nothing is labelled. Raises `CaseError` for a scan that the recipe refuses, and `ValueError` for
    a network of the frame `kidneys` without a locator.
    """
    recipe, kidneys = segmenter.recipe, None
    if recipe.frame == "kidneys":
        if locator is None:
            raise ValueError("a network of the frame kidneys needs one of the frame volume to find them")
        kidneys = find_kidneys(case, image, locator, recipe.margin_mm)
        if kidneys is None:
            return np.zeros(image.shape, np.uint8)
    grid = frame_scan(case, image, recipe, kidneys)
    network_input = recipe.standardise(stored_hu(case, image, grid))
    return restore_labels(predict_probabilities(segmenter.model, network_input), grid)


def find_kidneys(case: str, image: Volume, locator: Segmenter, margin_mm: float) -> Box | None:
    """The box around the kidneys and tumours that a network of the frame `volume` finds, specks left out."""
    return kidneys_box(segment(case, image, locator), image.spacing_mm, margin_mm, clean=True)
