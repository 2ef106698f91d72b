"""The planes of a DICOM SEG's frames, and which of them is nearest to a place in the patient."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from kits_core.geometry.boxes import Slices
from kits_core.structures.describe import broken, items
from kits_core.structures.grid import SeriesGrid

_SAME_PLANE_MM = 0.01
_SAME_DIRECTION, _SAME_SPACING = 1e-3, 1e-3
_ON_A_SLICE = 0.1
"""Share of the distance between slices."""
_DIGITS = 4  # of a pixel, so that one of two equally near pixels is always the same

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Planes:
    """Where frames lie: on parallel planes, their pixels along the same directions.

    `row`, `column`: LPS direction of a row and of a column. `column_mm`, `row_mm`: distance between columns, between
    rows. `positions`: float64 `(frames, 3)`, LPS mm of the first pixels. `reach_mm`: float64 `(frames, 2)`, from where
    to where along the normal a frame is the nearest; elsewhere there is none.
    """

    row: Vector
    column: Vector
    column_mm: float
    row_mm: float
    positions: NDArray[np.float64]
    reach_mm: NDArray[np.float64]

    @property
    def normal(self) -> Vector:
        """Direction of the frames' normal, LPS."""
        return np.cross(self.row, self.column)

    def paint(self, frame: int, pixels: NDArray[np.bool_], grid: SeriesGrid) -> tuple[Slices, NDArray[np.bool_], bool]:
        """The voxels of a grid whose nearest pixel is one of a frame's: where, bool there; whether more lie outside.

        `pixels`: bool `(row, column)`, not empty.
        """
        box, whole = self._box(frame, pixels, grid)
        lps = np.linalg.inv(grid.from_lps)
        to_place = np.vstack([self.row / self.column_mm, self.column / self.row_mm, self.normal])
        turn = to_place @ lps[:3, :3]
        shift = to_place @ lps[:3, 3] - [*(to_place[:2] @ self.positions[frame]), 0.0]
        i, j, k = np.ogrid[box]
        # Added up in the same order for each frame: a voxel half-way between two of them is in exactly one.
        c, r, along = (i * turn[a, 0] + j * turn[a, 1] + k * turn[a, 2] + shift[a] for a in range(3))
        columns, rows = (np.floor(np.round(part, _DIGITS) + 0.5).astype(np.intp) for part in (c, r))
        low, high = self.reach_mm[frame]
        inside = (rows >= 0) & (rows < pixels.shape[0]) & (columns >= 0) & (columns < pixels.shape[1])
        inside &= (along >= low) & (along < high)
        rows, columns = (np.clip(part, 0, n - 1) for part, n in zip((rows, columns), pixels.shape, strict=True))
        return box, inside & pixels[rows, columns], not whole

    def _box(self, frame: int, pixels: NDArray[np.bool_], grid: SeriesGrid) -> tuple[Slices, bool]:
        """The part of a grid that the pixels of a frame may reach, and whether that is all that they reach."""
        r, c = (np.flatnonzero(pixels.any(axis=axis)) for axis in (1, 0))
        along = self.reach_mm[frame] - self.positions[frame] @ self.normal
        corners = np.array(np.meshgrid((c[0] - 0.5, c[-1] + 0.5), (r[0] - 0.5, r[-1] + 0.5), along)).reshape(3, -1)
        steps = np.column_stack([self.row * self.column_mm, self.column * self.row_mm, self.normal])
        lps = steps @ corners + self.positions[frame][:, None]
        index = grid.from_lps[:3, :3] @ lps + grid.from_lps[:3, 3:]
        low, high = index.min(axis=1), index.max(axis=1)
        size = np.array(grid.shape)
        first = np.clip(np.ceil(low - 1e-3), 0, size).astype(int)
        last = np.clip(np.floor(high + 1e-3) + 1, first, size).astype(int)
        i, j, k = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
        whole = bool((low > -1).all() and (high < size).all())
        return (i, j, k), whole


def planes_of(path: Path, data: Dataset, grid: SeriesGrid, *, of_series: bool) -> Planes:
    """The planes of a SEG's frames. `of_series`: it was drawn on the series of `grid`.

    A frame whose place is not stated lies on the slice that it names as its source. Raises `CaseError` where there is
    neither, and for frames of several orientations or pixel spacings.
    """
    frames = _frames(path, data, grid)
    orientations, spacings, positions = (np.array(part, np.float64) for part in zip(*frames, strict=True))
    for what, values, most in (
        ("orientation", orientations, _SAME_DIRECTION),
        ("pixel spacing", spacings, _SAME_SPACING),
    ):
        if not np.isfinite(values).all() or np.abs(values - values[0]).max() > most:
            raise broken(grid.case, path, f"frames of more than one {what}")
    row, column = orientations[0].reshape(2, 3)
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not np.allclose([*lengths, row @ column], [1, 1, 0], atol=_SAME_DIRECTION) or (spacings[0] <= 0).any():
        raise broken(
            grid.case, path, f"the orientation {orientations[0].tolist()}, pixel spacing {spacings[0].tolist()}"
        )
    row, column = row / lengths[0], column / lengths[1]
    along = positions @ np.cross(row, column)
    reach = _reach(along, _step(data, along, positions, np.cross(row, column), grid, of_series=of_series))
    return Planes(row, column, float(spacings[0][1]), float(spacings[0][0]), positions, reach)


def _frames(path: Path, data: Dataset, grid: SeriesGrid) -> list[tuple[Vector, Vector, Vector]]:
    """Orientation (row, column), pixel spacing (between rows, between columns) and position of each frame."""
    shared = next(iter(items(data, "SharedFunctionalGroupsSequence")), Dataset())
    found = []
    for number, frame in enumerate(items(data, "PerFrameFunctionalGroupsSequence"), start=1):
        orientation = _value(frame, shared, "PlaneOrientationSequence", "ImageOrientationPatient", 6)
        spacing = _value(frame, shared, "PixelMeasuresSequence", "PixelSpacing", 2)
        position = _value(frame, shared, "PlanePositionSequence", "ImagePositionPatient", 3)
        if orientation is None or spacing is None or position is None:
            place = _of_source(frame, shared, data, grid)
            if place is None:
                raise broken(grid.case, path, f"no place in the patient for frame {number}")
            orientation, spacing, position = place
        found.append((orientation, spacing, position))
    return found


def _value(frame: Dataset, shared: Dataset, sequence: str, keyword: str, count: int) -> Vector | None:
    for group in (frame, shared):
        for item in items(group, sequence):
            value = item.get(keyword)
            if value is not None and len(value) == count:
                return np.array([float(v) for v in value])
    return None


def _of_source(frame: Dataset, shared: Dataset, data: Dataset, grid: SeriesGrid) -> tuple[Vector, ...] | None:
    """The place of the slice of the series that a frame of the slices' size was derived from."""
    if (data.Columns, data.Rows) != grid.slice_size:
        return None
    for group in (frame, shared):
        for derivation in items(group, "DerivationImageSequence"):
            for source in items(derivation, "SourceImageSequence"):
                if (k := grid.slice_of.get(str(source.get("ReferencedSOPInstanceUID")))) is not None:
                    return grid.place_of_slice(k)
    return None


def _step(
    data: Dataset, along: Vector, positions: NDArray[np.float64], normal: Vector, grid: SeriesGrid, *, of_series: bool
) -> float:
    """The distance from a frame's plane to the next, in mm, also where frames between them were left out as empty."""
    gaps = np.diff(np.unique(along))
    gaps = gaps[gaps > _SAME_PLANE_MM]
    stated = _stated(data, "SpacingBetweenSlices")
    if stated is not None and (not gaps.size or np.abs(gaps / stated - np.round(gaps / stated)).max() <= _ON_A_SLICE):
        return stated
    slices_mm = grid.spacing_of_slices
    if of_series and abs(normal @ grid.normal_lps) > 1 - _SAME_DIRECTION:
        k = (grid.from_lps[:3, :3] @ positions.T + grid.from_lps[:3, 3:])[2]
        if np.abs(k - np.round(k)).max() <= _ON_A_SLICE:
            return slices_mm
    if gaps.size:
        return float(gaps.min())
    return _stated(data, "SliceThickness") or slices_mm


def _stated(data: Dataset, keyword: str) -> float | None:
    groups = (*items(data, "SharedFunctionalGroupsSequence"), *items(data, "PerFrameFunctionalGroupsSequence"))
    for group in groups[:2]:
        for item in items(group, "PixelMeasuresSequence"):
            value = abs(float(item.get(keyword) or 0))
            if np.isfinite(value) and value > _SAME_PLANE_MM:
                return value
    return None


def _reach(along: Vector, step: float) -> NDArray[np.float64]:
    """For each frame, from where to where it is the nearest: half-way to its neighbours, half a step if far."""
    places, which = _planes(along)
    gaps = np.diff(places)
    middles = (places[:-1] + places[1:]) / 2
    near = gaps < 1.5 * step
    low = np.concatenate([[places[0] - step / 2], np.where(near, middles, places[1:] - step / 2)])
    high = np.concatenate([np.where(near, middles, places[:-1] + step / 2), [places[-1] + step / 2]])
    return np.column_stack([low, high])[which]


def _planes(along: Sequence[float] | Vector) -> tuple[Vector, NDArray[np.intp]]:
    """The distinct planes among positions along the normal, ascending, and which of them each is."""
    order = np.argsort(along)
    ordered = np.asarray(along)[order]
    numbers = np.concatenate([[0], np.cumsum(np.diff(ordered) > _SAME_PLANE_MM)])
    which = np.empty(len(order), np.intp)
    which[order] = numbers
    return ordered[np.unique(numbers, return_index=True)[1]], which
