"""Slices of a scan with contours, small enough to be carried in a page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.measure import find_contours

from kits_core.geometry import GridMap, Volume, resample_image, resample_labels
from kits_core.geometry.body import body_box
from kits_core.geometry.boxes import bounding_box

_PIXEL_MM = 1.25
_MOST_SLICES = 64
_AROUND_MM = 20.0
_LOW_HU, _HIGH_HU = -160.0, 240.0  # the usual soft-tissue window of abdominal CT: width 400, level 40
_QUALITY = 72

PLANES = (("axial", 2, ("R", "L")), ("coronal", 1, ("R", "L")), ("sagittal", 0, ("P", "A")))
"""Name, axis (RAS) across it, and what lies to its left and right: radiological convention, up is front or head."""


@dataclass(frozen=True)
class Slice:
    """A picture as a data URL, and an SVG path in its pixels for each structure. `position_mm`: across it, RAS."""

    position_mm: float
    picture: str
    paths: dict[str, str]


@dataclass(frozen=True)
class Stack:
    """Parallel slices, and the one to begin with. `width`, `height`: pixels of `mm_per_pixel`."""

    plane: str
    sides: tuple[str, str]
    width: int
    height: int
    mm_per_pixel: float
    first: int
    slices: tuple[Slice, ...]


def stacks_of(image: Volume, structures: NDArray[np.uint8], names: Sequence[str], about: str) -> list[Stack]:
    """Axial, coronal and sagittal slices through all structures and 20 mm around, across the whole body.

    `structures`: uint8 on the grid of `image` (HU), 0 for none, else one more than the place in `names`. The first
    slice shown goes through the middle of the structure `about`.
    """
    grid = _grid(image, structures)
    picture = _gray(resample_image(image.data, grid, fill=-1000.0))
    labels = resample_labels(structures, grid, tuple(range(len(names) + 1)))
    shown = bounding_box(labels) or (slice(0, labels.shape[0]), slice(0, labels.shape[1]), slice(0, labels.shape[2]))
    middle = bounding_box(labels == names.index(about) + 1) or shown
    stacks = []
    for plane, axis, sides in PLANES:
        around = round(_AROUND_MM / _PIXEL_MM)
        low, high = max(0, shown[axis].start - around), min(labels.shape[axis], shown[axis].stop + around)
        step = -(-(high - low) // _MOST_SLICES)
        begin = (middle[axis].start + middle[axis].stop) // 2
        places = list(range(low + (begin - low) % step, high, step))
        slices = [
            _slice(_rows(picture, axis, n), _rows(labels, axis, n), names, _position(grid, axis, n)) for n in places
        ]
        height, width = _rows(picture, axis, 0).shape
        stacks.append(Stack(plane, sides, width, height, _PIXEL_MM, places.index(begin), tuple(slices)))
    return stacks


def _grid(image: Volume, structures: NDArray[np.uint8]) -> GridMap:
    """Equal spacing over the body's width and depth, and over the structures' height with some room."""
    found = bounding_box(structures)
    axes = GridMap.whole(image, (1, 1, 1)).axes
    box = [(float(first), float(last)) for first, last in body_box(image)]
    up = axes[2]
    if found is not None:
        room = _AROUND_MM / image.spacing_mm[up]
        box[up] = max(0.0, found[up].start - room), min(image.shape[up] - 1.0, found[up].stop - 1 + room)
    mm = [(box[axis][1] - box[axis][0] + 1) * image.spacing_mm[axis] for axis in axes]
    x, y, z = (max(2, round(size / _PIXEL_MM)) for size in mm)
    return GridMap.of_box(image, box, (x, y, z))


def _position(grid: GridMap, axis: int, index: int) -> float:
    """Where a plane of the grid crosses its axis in the patient, RAS mm, at the grid's middle."""
    middle = (np.array(grid.shape) - 1) / 2
    middle[axis] = index
    return float((grid.affine @ [*middle, 1.0])[axis])


def _slice(gray: NDArray[np.uint8], rows: NDArray[np.uint8], names: Sequence[str], position_mm: float) -> Slice:
    paths = {name: path for n, name in enumerate(names, start=1) if (path := _path(rows == n))}
    return Slice(position_mm, _jpeg(gray), paths)


def _rows(values: NDArray[np.uint8], axis: int, index: int) -> NDArray[np.uint8]:
    """A plane across an axis of a RAS grid as rows and columns of a picture."""
    rows = np.moveaxis(values, axis, 0)[index].T[::-1]  # from front or head down
    return np.ascontiguousarray(rows if axis == 0 else rows[:, ::-1])


def _path(mask: NDArray[np.bool_]) -> str:
    """The outlines of a mask as an SVG path; a pixel's centre lies at its middle."""
    if not mask.any():
        return ""
    lines = [_corners(line) - 0.5 for line in find_contours(np.pad(mask, 1).astype(float), 0.5)]
    return "".join("M" + "L".join(f"{column:.1f},{row:.1f}" for row, column in line) + "Z" for line in lines)


def _corners(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """A contour's points, float64 `(n, 2)`, without those between two steps in the same direction.

    Nothing of the outline is lost. `skimage.measure.approximate_polygon`, within a third of a pixel, keeps a fifth
    fewer points, and its loop in Python takes 130 times as long: 3 of the 11 s of a small plan.
    """
    steps = np.diff(line, axis=0)
    turns = np.any(steps[1:] != steps[:-1], axis=1)
    return line[np.concatenate([[True], turns, [True]])]


def _gray(hu: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.clip((hu - _LOW_HU) * (255 / (_HIGH_HU - _LOW_HU)), 0, 255).astype(np.uint8)


def _jpeg(gray: NDArray[np.uint8]) -> str:
    buffer = BytesIO()
    Image.fromarray(gray).save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
