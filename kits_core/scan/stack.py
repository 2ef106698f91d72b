"""The slices of a series in order, checked to be one even stack, and where it lies in the patient."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kits_core.errors import CaseError
from kits_core.geometry.grid import LEAST_SLICES
from kits_core.geometry.volume import Affine
from kits_core.scan.header import Header
from kits_core.scan.pixels import same_pixels
from kits_core.scan.uniform import check_uniform

_SAME_PLACE_MM = 0.01  # scanners write positions to 0.001 mm or better; no CT has slices this close
_UNEVEN = 0.1
_MOST_DRIFT_VOX = 0.5
_MOST_OFF_LINE = (1.0, 1.0, 0.5)
"""In columns, rows and slices."""
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

Vectors = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in ascending order along their normal.

    `affine`: (column, row, slice) to RAS mm; the third column is the slices' true step, oblique where they are tilted.
    `shifts_vox`: float64 `(slices, 2)`, how far each lies from the normal through the first, in columns and rows.
    `tilt_deg`: angle between step and normal.
    """

    slices: tuple[Header, ...]
    affine: Affine
    shifts_vox: Vectors
    tilt_deg: float
    notes: tuple[str, ...]

    @property
    def tilted(self) -> bool:
        """Whether the slices drift by more than half a pixel from the normal (gantry tilt)."""
        return bool(np.abs(self.shifts_vox).max() > _MOST_DRIFT_VOX)


def stack_slices(case: str, headers: Sequence[Header]) -> Stack:
    """Order slices by position, drop copies and check that nothing is missing.

    Raises `CaseError` naming `case` for everything that `check_uniform` refuses, for two different slices in one place,
    fewer than 8 slices, gaps that differ by more than 10 % from the median gap, and slices out of line.
    """
    check_uniform(case, headers)
    row, column = _directions(headers[0])
    normal = np.cross(row, column)
    ordered = sorted(headers, key=lambda header: float(_position(header) @ normal))
    kept = _without_copies(case, ordered, normal)
    if len(kept) < LEAST_SLICES:
        raise CaseError(
            case,
            expected=f"a CT series of at least {LEAST_SLICES} slices",
            got=f"{len(kept)}",
            next_step="export the whole series",
        )
    positions = np.array([_position(header) for header in kept])
    _check_gaps(case, kept, positions @ normal)
    rows_mm, columns_mm = headers[0].pixel_spacing or ()
    in_plane = np.column_stack([row * columns_mm, column * rows_mm])
    step = (positions[-1] - positions[0]) / (len(kept) - 1)
    axes = np.column_stack([in_plane, step])
    # In units of a column, a row and a slice: 0, 0, k for slice k of an even stack.
    _check_line(case, kept, np.linalg.solve(axes, (positions - positions[0]).T).T)
    lps = np.eye(4)
    lps[:3] = np.column_stack([axes, positions[0]])
    shifts = (positions - positions[0]) @ in_plane / (in_plane**2).sum(axis=0)
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    return Stack(tuple(kept), _LPS_TO_RAS @ lps, shifts, tilt, tuple(_notes(headers, kept)))


def _directions(header: Header) -> tuple[Vectors, Vectors]:
    row, column = np.array(header.orientation).reshape(2, 3)
    return row / np.linalg.norm(row), column / np.linalg.norm(column)


def _position(header: Header) -> Vectors:
    return np.array(header.position)


def _without_copies(case: str, ordered: Sequence[Header], normal: Vectors) -> list[Header]:
    kept: list[Header] = []
    for header in ordered:
        if kept and abs((_position(header) - _position(kept[-1])) @ normal) < _SAME_PLACE_MM:
            if not same_pixels(case, kept[-1], header):
                raise CaseError(
                    case,
                    expected="one slice at each position",
                    got=f"two different ones at {_position(header) @ normal:.2f} mm "
                    f"({kept[-1].path.name}, {header.path.name})",
                    next_step="export one phase or reconstruction as a series of its own",
                )
        else:
            kept.append(header)
    return kept


def _check_gaps(case: str, slices: Sequence[Header], along_mm: Vectors) -> None:
    gaps = np.diff(along_mm)
    median = float(np.median(gaps))
    wrong = np.flatnonzero(np.abs(gaps - median) > _UNEVEN * median)
    if not wrong.size:
        return
    k = int(wrong[0])
    more = f", and {wrong.size - 1} more gaps that differ" if wrong.size > 1 else ""
    raise CaseError(
        case,
        expected=f"slices {median:.2f} mm apart",
        got=f"{gaps[k]:.2f} mm between {along_mm[k]:.2f} and {along_mm[k + 1]:.2f} mm "
        f"({slices[k].path.name}, {slices[k + 1].path.name}){more}: a slice is missing, or two series are mixed",
        next_step="export the series again with all slices",
    )


def _check_line(case: str, slices: Sequence[Header], places: Vectors) -> None:
    """Gaps that creep, or slices of two fields of view, have positions that no affine describes.

    `places`: float64 `(slices, 3)`, in columns, rows and slices.
    """
    off = np.abs(places - np.arange(len(slices))[:, None] * [0, 0, 1]) / _MOST_OFF_LINE
    worst = int(off.max(axis=1).argmax())
    if off[worst].max() <= 1:
        return
    i, j, k = (f"{n:.2f}" for n in places[worst] - [0, 0, worst])
    raise CaseError(
        case,
        expected="slices along one straight line",
        got=f"{slices[worst].path.name} off it by {i} columns, {j} rows and {k} slices",
        next_step="export one reconstruction as a series of its own",
    )


def _notes(headers: Sequence[Header], kept: Sequence[Header]) -> list[str]:
    notes = []
    if dropped := len(headers) - len(kept):
        notes.append(f"{dropped} {'copy' if dropped == 1 else 'copies'} of slices left out")
    numbers = [header.number for header in kept]
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers) and known not in (sorted(known), sorted(known, reverse=True)):
        notes.append("slices were stored in the wrong order: sorted by position")
    if any(header.lossy for header in kept):
        notes.append("slices were compressed with loss: HU are approximate")
    scales = sorted({(header.slope or 1.0, header.intercept or 0.0) for header in kept})
    if len(scales) > 1:
        notes.append(f"rescale slope and intercept applied, which differ between slices ({len(scales)} pairs)")
    elif scales != [(1.0, 0.0)]:
        notes.append("rescale slope {:g}, intercept {:g} applied".format(*scales[0]))
    return notes
