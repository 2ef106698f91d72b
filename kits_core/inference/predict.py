"""Prediction of one case."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kits_core.geometry import GridMap, Volume, restore_labels, write_volume


def predict_probabilities(model: Any, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities float32 `(x, y, z, classes)` of a standardised image float32 `(x, y, z)`."""
    return np.asarray(model.predict_on_batch(image[None, ..., None])[0], dtype=np.float32)


def predict_labels(model: Any, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The class of largest probability on the network's grid, uint8 `(x, y, z)`."""
    return np.argmax(predict_probabilities(model, image), axis=-1).astype(np.uint8)


def segment(model: Any, image: NDArray[np.float32], grid: GridMap, path: Path) -> NDArray[np.uint8]:
    """Labels 0 to 2 on the scan's original grid, uint8, also written to `path` as an uncompressed NIfTI."""
    labels = restore_labels(predict_probabilities(model, image), grid)
    write_volume(path, Volume(labels, np.asarray(grid.source_affine)))
    return labels
