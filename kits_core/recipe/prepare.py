"""One case from its raw files to the pair that the network reads."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kits_core.errors import CaseError
from kits_core.files import sha256_of
from kits_core.geometry import GridMap, Volume, read_volume, resample_labels, write_volume
from kits_core.geometry.body import Box
from kits_core.geometry.boxes import Slices, bounding_box
from kits_core.geometry.grid import same_place
from kits_core.geometry.resample import inside_grid
from kits_core.labels import Label
from kits_core.recipe.ceiling import ceilings
from kits_core.recipe.frame import frame_scan, reference_box, stored_hu
from kits_core.recipe.recipe import Recipe

IMAGE_NAME = "image.nii"
LABELS_NAME = "labels.nii"
_NETWORK_LABELS = (Label.BACKGROUND, Label.KIDNEY, Label.TUMOR)
_MEND = "correct it at its source, then run ingest again"


@dataclass(frozen=True)
class PreparedCase:
    """A prepared case. Without a reference, the labels' paths and hashes are None, and the statistics are empty.

    `grid`: what the network sees of the scan; the files reach `Recipe.context` voxels beyond it. `kept`: for each label
    present, the share of its voxels inside the grid. `volumes_ml`: kidney and tumour on the grid, as the network is to
    find them. `ceilings`: `{(region, metric): value}`.
    """

    image_path: Path
    image_sha256: str
    label_path: Path | None
    label_sha256: str | None
    grid: GridMap
    kept: dict[Label, float]
    volumes_ml: dict[Label, float]
    ceilings: dict[tuple[str, str], float]
    seconds: float


def prepare_case(
    case: str,
    image_path: Path,
    segmentation_path: Path | None,
    recipe: Recipe,
    folder: Path,
    *,
    kidneys: Box | None = None,
) -> PreparedCase:
    """Resample a case onto the recipe's grid and write `image.nii` (int16 HU) and `labels.nii` (uint8) into `folder`.

    `kidneys`: for the frame of that name, where a model found them, in voxels of the scan; without it the box comes
    from the reference. Raises `CaseError` where image and segmentation lie on
    different grids, the reference has other labels or no kidney, the scan is constant, not finite or too small, and
    where a fixed spacing would cut off what is labelled.
    """
    start = time.perf_counter()
    image = read_volume(image_path)
    reference = None if segmentation_path is None else read_reference(case, segmentation_path, image)
    if recipe.frame == "kidneys" and kidneys is None:
        if reference is None:
            raise CaseError(
                case,
                expected="a segmentation, which says where the kidneys are",
                got="an image alone",
                next_step="prepare it with the frame volume",
            )
        kidneys = reference_box(case, reference, image, recipe)
    grid = frame_scan(case, image, recipe, kidneys)
    kept = {} if reference is None else _kept(reference, grid)
    if recipe.spacing_mm is not None and kept and min(kept.values()) < 1:
        raise _cut_off(case, kept, recipe)
    stored = grid.padded(recipe.context)
    hu = stored_hu(case, image, stored)
    target = folder / IMAGE_NAME
    label_path, volumes, ceiling = None, {}, {}
    write_volume(target, Volume(hu, stored.affine))
    if reference is not None:
        prepared = resample_labels(recipe.reduce(reference), stored, _NETWORK_LABELS)
        label_path = folder / LABELS_NAME
        write_volume(label_path, Volume(prepared, stored.affine))
        seen = recipe.central(prepared)
        volumes = _volumes_ml(seen, grid)
        ceiling = ceilings(reference, seen, grid, image.spacing_mm)
    return PreparedCase(
        image_path=target,
        image_sha256=sha256_of(target),
        label_path=label_path,
        label_sha256=sha256_of(label_path) if label_path else None,
        grid=grid,
        kept=kept,
        volumes_ml=volumes,
        ceilings=ceiling,
        seconds=time.perf_counter() - start,
    )


def read_reference(case: str, path: Path, image: Volume) -> NDArray[np.uint8]:
    """The segmentation at `path` as uint8 on the grid of `image`.

    Raises `CaseError` where the grids differ, for values other than 0 to 3, and for a reference without a kidney.
    """
    segmentation = read_volume(path)
    if segmentation.shape != image.shape or not same_place(image.shape, segmentation.affine, image.affine):
        raise CaseError(
            case,
            expected=f"a segmentation on the image's grid {_grid(image)}",
            got=_grid(segmentation),
            next_step=_MEND,
        )
    low, high = segmentation.data.min(), segmentation.data.max()
    if low < 0 or high > max(Label):
        raise CaseError(case, expected="labels from 0 to 3", got=f"{low} to {high}", next_step=_MEND)
    labels = np.asarray(segmentation.data, dtype=np.uint8)
    if not (labels == Label.KIDNEY).any():
        raise CaseError(case, expected="a kidney in the segmentation", got="no voxel with label 1", next_step=_MEND)
    return labels


def _grid(volume: Volume) -> str:
    spacing = "x".join(f"{mm:.2f}" for mm in volume.spacing_mm)
    return f"{volume.shape}, {spacing} mm, axes {volume.orientation}"


def _kept(reference: NDArray[np.uint8], grid: GridMap) -> dict[Label, float]:
    box = bounding_box(reference)
    if box is None:
        return {}
    inside = _common(box, inside_grid(grid))
    kept = {}
    for label in (Label.KIDNEY, Label.TUMOR, Label.CYST):
        if count := np.count_nonzero(reference[box] == label):
            kept[label] = float(np.count_nonzero(reference[inside] == label) / count)
    return kept


def _common(one: Slices, other: Slices) -> Slices:
    i, j, k = (slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return i, j, k


def _cut_off(case: str, kept: dict[Label, float], recipe: Recipe) -> CaseError:
    found = ", ".join(f"{share:.1%} of the {label.name.lower()}" for label, share in kept.items() if share < 1)
    side_mm = recipe.shape * (recipe.spacing_mm or 0)
    return CaseError(
        case,
        expected=f"all that is labelled within {side_mm:.0f} mm",
        got=found,
        next_step="choose a larger shape or spacing, or none",
    )


def _volumes_ml(labels: NDArray[np.uint8], grid: GridMap) -> dict[Label, float]:
    voxel_ml = float(abs(np.linalg.det(grid.affine[:3, :3]))) / 1000
    return {label: np.count_nonzero(labels == label) * voxel_ml for label in (Label.KIDNEY, Label.TUMOR)}
