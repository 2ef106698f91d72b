"""What a NIfTI header says of the grid: the one reading that nibabel and ITK share, or the reason why there is none.

A header can place its grid three times: by `sform` (an affine), by `qform` (a rotation, with the spacing of `pixdim`)
and by `pixdim` alone. nibabel takes the sform where its code is above 0, then the qform; its voxel size is that of the
sform. ITK takes the sform only where its code is 1 or there is no qform; its voxel size is always that of `pixdim`.
Where these give different grids, two programs would measure different things: such a header is refused.
`tests/kits_core/geometry/test_header.py` asks both (nibabel 5.4, ITK 5.4).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from kits_core.geometry.grid import SPACING_MM, apart_mm, is_spacing, same_place
from kits_core.geometry.volume import Affine, Shape

MILLIMETRES = 2
_SPACE_UNIT_BITS = 7
_OTHER_UNITS = {1: "metres", 3: "micrometres"}
_SCANNER, _LAST_CODE = 1, 5
_EXPORT = "export it again with one place and one voxel size"


class HeaderError(ValueError):
    """A header that can be read in more than one way, or in none. `next_step` is None if only correcting it helps."""

    def __init__(self, expected: str, got: str, next_step: str | None = None) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got, self.next_step = expected, got, next_step


@dataclass(frozen=True, eq=False)
class HeaderGrid:
    """A grid as a header gives it. `affine`: float64 `(4, 4)`, voxel to RAS mm. `notes`: what a reader should know."""

    shape: Shape
    affine: Affine
    notes: tuple[str, ...]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each axis."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)


def read_grid(header: Any) -> HeaderGrid:
    """The grid of a NIfTI-1 or NIfTI-2 header of nibabel's, as it was read (`check=False`).

    Axes of length 1 after the third are left out. Raises `HeaderError` for: other than 3 axes, units other than mm, a
    spacing outside 0.05 to 20 mm, an affine that is not finite, invertible and of right angles, and sform, qform and
    pixdim that contradict each other. One exception: a sform of code 1 in another place is used, and noted.
    """
    shape, squeezed = _shape(header)
    pixdim = _pixdim(header)
    affine, notes = _place(header, shape, pixdim)
    _check_angles(shape, affine)
    notes = [*(["a fourth axis of length 1 was left out"] if squeezed else []), *notes]
    return HeaderGrid(shape, affine, tuple(notes))


def clean_header(source: Any, grid: HeaderGrid, dtype: np.dtype[Any]) -> Any:
    """A little-endian header of the same kind that says this grid, mm and `dtype`, and nothing else.

    sform and qform agree. Where only a qform was there, it is copied, so that no bit of the affine changes.
    """
    header = type(source)(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(grid.shape)
    header["xyzt_units"] = MILLIMETRES
    if _codes(source) == (False, True):
        for field in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):
            header[field] = source[field]
        header["pixdim"][1:4] = source["pixdim"][1:4]
        header["pixdim"][0] = _qfac(source)
        header["qform_code"] = _SCANNER
    else:
        header.set_qform(grid.affine, code=_SCANNER)
        header.set_sform(grid.affine, code=_SCANNER)
    return header


def _shape(header: Any) -> tuple[Shape, bool]:
    dim = [int(n) for n in header["dim"]]
    axes = dim[0]
    if not 1 <= axes <= 7:
        raise HeaderError("a scan with 3 axes", f"{axes} by its header")
    sizes = dim[1 : axes + 1]
    if axes < 3 or min(sizes) < 1 or any(n != 1 for n in sizes[3:]):
        raise HeaderError("a scan with 3 axes", f"dimensions {tuple(sizes)}")
    return (sizes[0], sizes[1], sizes[2]), axes > 3


def _pixdim(header: Any) -> tuple[float, ...]:
    pixdim = tuple(float(mm) for mm in header["pixdim"][1:4])
    if not all(np.isfinite(mm) and mm > 0 for mm in pixdim):
        raise HeaderError("a spacing above 0 on each axis", f"pixdim {_times(pixdim)}")
    unit = int(header["xyzt_units"]) & _SPACE_UNIT_BITS
    if unit not in (0, MILLIMETRES):
        raise HeaderError("spacing in millimetres", f"spacing in {_OTHER_UNITS.get(unit, f'a unit of code {unit}')}")
    if not is_spacing(pixdim):
        _refuse_spacing(pixdim)
    return pixdim


def _refuse_spacing(spacing_mm: Sequence[float]) -> NoReturn:
    low, high = SPACING_MM
    raise HeaderError(
        f"a spacing of {low:g} to {high:g} mm", f"{_times(spacing_mm)} mm", "export it again with its spacing in mm"
    )


def _codes(header: Any) -> tuple[bool, bool]:
    """Whether there is a sform, and a qform. An unknown code means that there is one to ITK, and none to nibabel."""
    codes = int(header["sform_code"]), int(header["qform_code"])
    if not all(0 <= code <= _LAST_CODE for code in codes):
        raise HeaderError(f"sform and qform codes from 0 to {_LAST_CODE}", f"{codes[0]} and {codes[1]}", _EXPORT)
    return codes[0] > 0, codes[1] > 0


def _place(header: Any, shape: Shape, pixdim: tuple[float, ...]) -> tuple[Affine, list[str]]:
    by_sform, by_qform = _codes(header)
    if not (by_sform or by_qform):
        unknown = "the header does not say how the patient lies (no sform, no qform): left and right may be swapped"
        return np.asarray(header.get_base_affine(), dtype=np.float64), [unknown]
    if not by_sform:
        return _qform(header), []
    sform = _sform(header, shape, pixdim)
    if not by_qform:
        return sform, []
    try:
        qform = _qform(header)
    except HeaderError as error:
        if int(header["sform_code"]) != _SCANNER:
            raise
        return sform, [f"the qform cannot be read ({error.got}): the sform was taken"]
    if same_place(shape, sform, qform):
        return sform, []
    return sform, [_taken(header, shape, sform, qform)]


def _taken(header: Any, shape: Shape, sform: Affine, qform: Affine) -> str:
    """The note about a sform that was used although the qform differs; an error where that is not allowed."""
    codes = ["".join(nib.aff2axcodes(affine)) for affine in (sform, qform)]
    apart = apart_mm(shape, sform, qform)
    both = f"corners {apart:.1f} mm apart ({codes[0]} by the sform, {codes[1]} by the qform)"
    mirrored = np.sign(np.linalg.det(sform[:3, :3])) != np.sign(np.linalg.det(qform[:3, :3]))
    if mirrored or codes[0] != codes[1]:
        raise HeaderError("sform and qform that agree on the patient's sides", both, _EXPORT)
    if int(header["sform_code"]) != _SCANNER:
        raise HeaderError("sform and qform of one place", both, _EXPORT)
    return f"sform and qform lay it in two places, corners {apart:.1f} mm apart: the sform was taken"


def _sform(header: Any, shape: Shape, pixdim: tuple[float, ...]) -> Affine:
    affine = np.asarray(header.get_sform(), dtype=np.float64)
    _check_finite(affine)
    norms = np.linalg.norm(affine[:3, :3], axis=0)
    if not norms.all():
        raise HeaderError("an affine that can be inverted", str(affine.tolist()))
    scaled = affine.copy()
    scaled[:3, :3] *= np.array(pixdim) / norms
    if not same_place(shape, affine, scaled):
        raise HeaderError(
            "one voxel size by sform and pixdim",
            f"{_times(norms)} mm by the sform and {_times(pixdim)} mm by pixdim",
            "export it again with both; programs read such a file in two ways",
        )
    return affine


def _qform(header: Any) -> Affine:
    fixed = header.copy()
    fixed["pixdim"][0] = _qfac(header)
    try:
        with np.errstate(all="ignore"):  # what is not finite is refused below
            affine = np.asarray(fixed.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        raise HeaderError("a qform that is a rotation", " ".join(str(error).split())) from error
    _check_finite(affine)
    return affine


def _qfac(header: Any) -> float:
    """1 or -1. Both libraries read 0, NaN and larger values as 1. They disagree on other negative values."""
    qfac = float(header["pixdim"][0])
    if qfac == -1.0 or not qfac < 0:
        return -1.0 if qfac == -1.0 else 1.0
    raise HeaderError("a pixdim[0] of 1 or -1", f"{qfac:g}", _EXPORT)


def _check_finite(affine: Affine) -> None:
    if not np.isfinite(affine).all():
        raise HeaderError("a finite affine", str(affine.tolist()))


def _check_angles(shape: Shape, affine: Affine) -> None:
    """Raise for axes that do not stand at right angles: every distance along them would be wrong."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not spacing.all():
        raise HeaderError("an affine that can be inverted", str(affine.tolist()))
    if not is_spacing([float(mm) for mm in spacing]):
        _refuse_spacing([float(mm) for mm in spacing])
    cosines = affine[:3, :3] / spacing
    left, _, right = np.linalg.svd(cosines)
    straight = affine.copy()
    straight[:3, :3] = left @ right * spacing
    if not same_place(shape, affine, straight):
        between = np.abs([cosines[:, a] @ cosines[:, b] for a, b in ((0, 1), (0, 2), (1, 2))]).max()
        raise HeaderError(
            "axes at right angles",
            f"axes at {np.degrees(np.arccos(min(1.0, between))):.1f} degrees",
            "resample it to a straight grid, or give the DICOM series, whose tilt is straightened",
        )


def _times(numbers: Sequence[float]) -> str:
    return " x ".join(f"{float(number):.4g}" for number in numbers)
