"""Sections through a scan for pictures, in radiological convention. Draws nothing; worker processes may make them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kits_core.geometry import GridMap, Volume, read_volume, resample_image, resample_labels
from kits_core.geometry.boxes import bounding_box
from kits_core.labels import Label
from kits_core.recipe.ceiling import perfect_prediction
from kits_core.recipe.prepare import read_reference
from kits_core.recipe.recipe import Recipe

_VOXELS = 192
_MARGIN_MM = 25.0
_VALUES = tuple(int(label) for label in Label)
_AXES_AND_SIDES = ((2, ("R", "L")), (1, ("R", "L")), (0, ("P", "A")))

Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Section:
    """A plane as rows and columns of a picture; the patient's right is on the left, up is anterior or head.

    `picture`: float32 HU. `reference` and `prediction`: labels 0 to 3, uint8, same shape; the latter is None for a
    reference alone. `sides`: what lies to the left and right of it.
    """

    picture: NDArray[np.float32]
    reference: Labels
    prediction: Labels | None
    sides: tuple[str, str]
    mm_per_pixel: float


def case_sections(image: Volume, reference: Labels, prediction: Labels | None = None) -> list[Section]:
    """Axial, coronal and sagittal section through the largest tumour section, of what surrounds the foreground.

    `reference` and `prediction`: labels 0 to 3 on the grid of `image`.
    """
    grid, centre = _isotropic_view(image, reference if prediction is None or reference.any() else prediction)
    sections = []
    for axis, sides in _AXES_AND_SIDES:
        plane = grid.plane(axis, centre[axis])
        sections.append(
            Section(
                _rows(resample_image(image.data, plane, fill=-1000.0), axis),
                _rows(resample_labels(reference, plane, _VALUES), axis),
                None if prediction is None else _rows(resample_labels(prediction, plane, _VALUES), axis),
                sides,
                float(np.linalg.norm(grid.affine[:3, 0])),
            )
        )
    return sections


def scored_sections(case: str, image_path: Path, reference_path: Path, prediction_path: Path | None) -> list[Section]:
    """Sections of a case with what was predicted; the reference alone where there is no prediction."""
    image = read_volume(image_path)
    reference = read_reference(case, reference_path, image)
    predicted = np.asarray(read_volume(prediction_path).data) if prediction_path and prediction_path.is_file() else None
    return case_sections(image, reference, predicted)


def ceiling_sections(
    image_path: Path, reference_path: Path, prepared_labels_path: Path, recipe: Recipe, grid: GridMap
) -> list[Section]:
    """Sections of a case with what a perfect model would give it through a recipe."""
    reference = np.asarray(read_volume(reference_path).data, dtype=np.uint8)
    prepared = recipe.central(np.asarray(read_volume(prepared_labels_path).data))
    return case_sections(read_volume(image_path), reference, perfect_prediction(prepared, grid))


def _rows(plane: NDArray[Any], axis: int) -> NDArray[Any]:
    """A RAS volume one voxel thick along `axis` as rows and columns of a picture."""
    rows = plane.squeeze(axis).T[::-1]  # from anterior or head down
    return rows if axis == 0 else rows[:, ::-1]


def _isotropic_view(image: Volume, labels: Labels) -> tuple[GridMap, tuple[int, int, int]]:
    """A cube of equal spacing about what is labelled, and the voxel of it with the largest tumour sections."""
    found = bounding_box(labels) or tuple(slice(0, n) for n in labels.shape)
    ends = [(part.start, part.stop - 1, mm) for part, mm in zip(found, image.spacing_mm, strict=True)]
    size_mm = max((last - first + 1) * mm for first, last, mm in ends) + 2 * _MARGIN_MM
    box = [((first + last - size_mm / mm + 1) / 2, (first + last + size_mm / mm - 1) / 2) for first, last, mm in ends]
    grid = GridMap.of_box(image, box, (_VOXELS,) * 3)
    tumor = labels[found] == Label.TUMOR
    if not tumor.any():
        return grid, (_VOXELS // 2,) * 3
    largest = [
        part.start + int(tumor.sum(axis=tuple(a for a in range(3) if a != axis)).argmax())
        for axis, part in enumerate(found)
    ]
    i, j, k = (grid.nearest(axis, largest[grid.axes[axis]]) for axis in range(3))
    return grid, (i, j, k)
