"""The grid that a recipe lays over a scan, and the scan on it as a network reads it."""

import numpy as np
from numpy.typing import NDArray

from kits_core.errors import CaseError
from kits_core.geometry import GridMap, Volume, resample_image
from kits_core.geometry.body import Box, body_box
from kits_core.geometry.organs import kidneys_box
from kits_core.recipe.recipe import Recipe

AIR_HU = -1000.0


def frame_scan(case: str, image: Volume, recipe: Recipe, kidneys: Box | None = None) -> GridMap:
    """The recipe's grid over a scan. `kidneys`: where they are, in voxels of the scan, for the frame of that name.

    Raises `CaseError` for a scan that has fewer voxels than the grid along every axis: the grid would invent the rest.
    """
    if max(image.shape) < recipe.shape:
        raise CaseError(
            case,
            expected=f"a scan with at least {recipe.shape} voxels along some axis, as the grid has",
            got=f"{'x'.join(map(str, image.shape))}",
            next_step="choose a recipe with a smaller shape",
        )
    box = _box(image, recipe, kidneys)
    if recipe.spacing_mm is not None:
        return GridMap.at_spacing(image, box, recipe.grid_shape, recipe.spacing_mm)
    return GridMap.of_box(image, box, recipe.grid_shape)


def _box(image: Volume, recipe: Recipe, kidneys: Box | None) -> Box:
    if recipe.frame == "kidneys":
        if kidneys is None:
            raise ValueError("the frame kidneys needs to be told where they are")
        return kidneys
    if recipe.trim_air:
        return body_box(image)
    i, j, k = image.shape
    return (0, i - 1), (0, j - 1), (0, k - 1)


def reference_box(case: str, reference: NDArray[np.uint8], image: Volume, recipe: Recipe) -> Box:
    """The box around all that is labelled in a reference, with the recipe's margin."""
    box = kidneys_box(reference, image.spacing_mm, recipe.margin_mm, clean=False)
    if box is None:
        raise CaseError(case, expected="a kidney in the segmentation", got="none", next_step="correct it at its source")
    return box


def stored_hu(case: str, image: Volume, grid: GridMap) -> NDArray[np.int16]:
    """The scan on a grid in whole HU, air outside: what is stored, and what `Recipe.standardise` takes.

    Raises `CaseError` for a scan with NaN or infinity inside the grid, and for one of a single value.
    """
    hu = resample_image(image.data, grid, fill=AIR_HU)
    low, high = float(hu.min()), float(hu.max())
    if not np.isfinite([low, high]).all():
        raise CaseError(
            case,
            expected="a finite HU value in every voxel",
            got="NaN or infinity",
            next_step="check the scan at its source, then run ingest again",
        )
    stored = np.rint(np.clip(hu, -32768, 32767)).astype(np.int16)
    if stored.min() == stored.max():
        raise CaseError(
            case,
            expected="an image with contrast",
            got=f"{stored.min()} HU in every voxel",
            next_step="check the scan at its source, then run ingest again",
        )
    return stored
