"""One case from its raw files to the pair that the network reads."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kits_core.errors import CaseError
from kits_core.files import sha256_of
from kits_core.geometry import GridMap, Volume, read_volume, resample_image, resample_labels, write_volume
from kits_core.geometry.body import body_box
from kits_core.geometry.resample import inside_grid
from kits_core.labels import Label
from kits_core.recipe.ceiling import ceilings
from kits_core.recipe.recipe import Recipe

IMAGE_NAME = "image.nii"
LABELS_NAME = "labels.nii"
AIR_HU = -1000.0
_NETWORK_LABELS = (Label.BACKGROUND, Label.KIDNEY, Label.TUMOR)


@dataclass(frozen=True)
class PreparedCase:
    """What was made of a case. Paths and hashes of labels are None, and the statistics empty, without a reference.

    `kept`: for each label present, the share of its voxels inside the grid. `ceilings`: `{(region, metric): value}`.
    """

    image_path: Path
    image_sha256: str
    label_path: Path | None
    label_sha256: str | None
    grid: GridMap
    kept: dict[Label, float]
    ceilings: dict[tuple[str, str], float]
    seconds: float


def prepare_case(
    case: str, image_path: Path, segmentation_path: Path | None, recipe: Recipe, folder: Path
) -> PreparedCase:
    """Resample a case onto the recipe's grid and write `image.nii` (int16 HU) and `labels.nii` (uint8) into `folder`.

    Raises `CaseError` where image and segmentation lie on different grids or the image is constant.
    """
    start = time.perf_counter()
    image = read_volume(image_path)
    grid = frame(image, recipe)
    hu = resample_image(image.data, grid, fill=AIR_HU)
    if hu.min() == hu.max():
        raise CaseError(
            case,
            expected="an image with contrast",
            got=f"{hu.min():.0f} HU in every voxel",
            next_step="check the scan at its source, then run ingest again",
        )
    target = folder / IMAGE_NAME
    write_volume(target, Volume(np.rint(np.clip(hu, -32768, 32767)).astype(np.int16), grid.affine))
    label_path, kept, ceiling = None, {}, {}
    if segmentation_path is not None:
        reference = read_reference(case, segmentation_path, image)
        prepared = resample_labels(recipe.reduce(reference), grid, _NETWORK_LABELS)
        label_path = folder / LABELS_NAME
        write_volume(label_path, Volume(prepared, grid.affine))
        kept, ceiling = _kept(reference, grid), ceilings(reference, prepared, grid)
    return PreparedCase(
        image_path=target,
        image_sha256=sha256_of(target),
        label_path=label_path,
        label_sha256=sha256_of(label_path) if label_path else None,
        grid=grid,
        kept=kept,
        ceilings=ceiling,
        seconds=time.perf_counter() - start,
    )


def frame(image: Volume, recipe: Recipe) -> GridMap:
    """The grid that a recipe lays over a scan."""
    if recipe.trim_air:
        return GridMap.of_box(image, body_box(image), recipe.grid_shape)
    return GridMap.whole(image, recipe.grid_shape)


def read_reference(case: str, path: Path, image: Volume) -> NDArray[np.uint8]:
    """The segmentation at `path` as uint8 on the grid of `image`; raises `CaseError` where the grids differ."""
    segmentation = read_volume(path)
    if segmentation.shape != image.shape or not np.allclose(segmentation.affine, image.affine, atol=1e-3):
        raise CaseError(
            case,
            expected=f"a segmentation on the image's grid {image.shape}, {_spacing(image)}",
            got=f"{segmentation.shape}, {_spacing(segmentation)}",
            next_step="delete both files and run ingest again",
        )
    return np.asarray(segmentation.data, dtype=np.uint8)


def _spacing(volume: Volume) -> str:
    return "x".join(f"{mm:.2f}" for mm in volume.spacing_mm) + " mm"


def _kept(reference: NDArray[np.uint8], grid: GridMap) -> dict[Label, float]:
    counts = np.bincount(reference.ravel(), minlength=4)
    inside = np.bincount(reference[inside_grid(grid)].ravel(), minlength=4)
    return {
        label: float(inside[label] / counts[label])
        for label in Label
        if label != Label.BACKGROUND and counts[label] > 0
    }
