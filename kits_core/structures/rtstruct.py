"""An RTSTRUCT on the grid of a CT series."""

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from kits_core.errors import CaseError
from kits_core.structures.contours import Points, fill
from kits_core.structures.describe import broken, items, text
from kits_core.structures.grid import SeriesGrid
from kits_core.structures.structure import Gathered, Named, Structure

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_OFF_PLANE = 0.2
"""Share of the distance between slices by which a contour may lie off one: text rounds, and no more than text does."""


@dataclass
class _Drawing:
    """The closed contours of a structure: on each slice, corners in columns and rows, `(points, 2)`."""

    slices: dict[int, list[Points]] = field(default_factory=dict)
    passed_over: Counter[str] = field(default_factory=Counter)

    def notes(self, name: str) -> list[str]:
        """What was passed over, and where a reader may expect more."""
        found = [f"{name}: {count} {what} passed over" for what, count in sorted(self.passed_over.items())]
        if self.slices:
            gaps = max(self.slices) - min(self.slices) + 1 - len(self.slices)
            if gaps:
                found.append(f"{name}: {gaps} slices without a contour between others stay empty")
        return found


def read_rtstruct(
    path: Path, data: Dataset, named: tuple[Named, ...], grid: SeriesGrid, *, wanted: Container[int]
) -> tuple[list[Structure], list[str]]:
    """The regions with a number in `wanted`, and notes.

    A pixel is inside by its centre (`contours.fill`). Points and open contours are passed over, and so are contours
    outside of the scan and repeated ones. Raises `CaseError` for a file without contour data, coordinates that are no
    numbers, a contour that lies on no slice, and a region in another frame of reference.
    """
    if "ROIContourSequence" not in data:
        raise broken(grid.case, path, "no contours")
    by_number = {one.number: one for one in named if one.number in wanted}
    drawings = {number: _Drawing() for number in by_number}
    for item in items(data, "ROIContourSequence"):
        one = by_number.get(int(item.ReferencedROINumber))
        if one is not None and item.get("ContourSequence"):
            _check_frame(path, data, one, grid)
            for contour in item.ContourSequence:
                _draw(path, contour, one, drawings[one.number], grid)
    gathered, notes = Gathered(), []
    for number, drawing in drawings.items():
        for k, contours in drawing.slices.items():
            (i, j), mask = fill(contours, grid.shape[:2])
            gathered.add(number, (i, j, k), mask[:, :, None])
        notes += drawing.notes(by_number[number].name)
    return [gathered.structure(one) for one in by_number.values()], notes


def _draw(path: Path, contour: Dataset, one: Named, drawing: _Drawing, grid: SeriesGrid) -> None:
    kind = text(contour, "ContourGeometricType")
    if kind not in _CLOSED:
        drawing.passed_over[f"contours of type {kind or 'none'}"] += 1
        return
    index = _index(path, contour, one, grid)
    if len(index) < 3:
        drawing.passed_over["contours of fewer than three points"] += 1
        return
    k = round(float(np.median(index[:, 2])))
    off = float(np.abs(index[:, 2] - k).max())
    if not 0 <= k < grid.shape[2]:
        drawing.passed_over["contours outside of the scan"] += 1
        return
    if off > _OFF_PLANE:
        raise CaseError(
            grid.case,
            expected=f"contours in {path.name} on the slices of the scan",
            got=f"one of {one.name!r} that is {off:.2f} slices off slice {k + 1}",
            next_step="give the series that it was drawn on, or export the structure as DICOM SEG or NIfTI",
        )
    points = index[:, :2]
    if any(np.array_equal(points, other) for other in drawing.slices.get(k, ())):
        drawing.passed_over["repeated contours"] += 1
        return
    drawing.slices.setdefault(k, []).append(points)


def _index(path: Path, contour: Dataset, one: Named, grid: SeriesGrid) -> NDArray[np.float64]:
    """The corners of a contour in columns, rows and slices, float64 `(points, 3)`."""
    try:
        values = np.array([float(v) for v in contour.get("ContourData") or ()])
    except (TypeError, ValueError) as error:
        raise broken(grid.case, path, f"a contour of {one.name!r} with a coordinate that is no number") from error
    if values.size % 3 or not np.isfinite(values).all():
        raise broken(grid.case, path, f"a contour of {one.name!r} with {values.size} coordinates, or not finite ones")
    return values.reshape(-1, 3) @ grid.from_lps[:3, :3].T + grid.from_lps[:3, 3]


def _check_frame(path: Path, data: Dataset, one: Named, grid: SeriesGrid) -> None:
    for item in items(data, "StructureSetROISequence"):
        frame = text(item, "ReferencedFrameOfReferenceUID")
        if int(item.ROINumber) == one.number and frame and grid.frame_of_reference not in ("", frame):
            raise CaseError(
                grid.case,
                expected=f"{one.name!r} of {path.name} in the frame of reference of the scan",
                got=frame,
                next_step="give the series that it was drawn on",
            )
