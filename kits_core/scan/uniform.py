"""Whether the files of a series are slices of one CT: one modality, one grid, one orientation."""

from collections.abc import Sequence

import numpy as np

from kits_core.errors import CaseError
from kits_core.scan.header import Header

_SAME_SPACING = 1e-3
"""Relative; pixel spacings are rounded differently by some exporters, never this much."""
_SAME_DIRECTION = 1e-3
"""About 0.06°: half a pixel at the edge of a slice of 512 is 0.1°."""
_AGAIN = "export the series again from the scanner or archive"
_BITS = (8, 16, 32)
_NEEDED = {
    "PixelSpacing": "pixel_spacing",
    "ImagePositionPatient": "position",
    "ImageOrientationPatient": "orientation",
}


def check_uniform(case: str, headers: Sequence[Header]) -> None:
    """Raise `CaseError` unless all are single grey CT slices of one series with a place in the patient.

    In this order: modality CT, one series, one frame a file, MONOCHROME2, bits and rescaling that make numbers,
    position, orientation and spacing present, the same size, spacing and orientation, and orientations that are two
    right-angled directions.
    """
    for header in headers:
        _check_kind(case, header)
        _check_bits(case, header)
        _check_rescale(case, header)
        _check_place(case, header)
    first = headers[0]
    for header in headers:
        _check_same(case, first, header)


def _check_kind(case: str, header: Header) -> None:
    name = header.path.name
    if header.modality != "CT":
        raise CaseError(
            case, expected="a CT", got=f"modality {header.modality or 'none'} in {name}", next_step="give a CT"
        )
    # For an enhanced CT, GDCM 3.2.5 applies the first frame's rescaling to all, and gives no spacing if frames are out
    # of order.
    if header.frames != 1:
        raise CaseError(
            case,
            expected="DICOM with one slice a file",
            got=f"{header.frames or 'no'} frames in {name}",
            next_step="convert an enhanced (multi-frame) CT to single slices or to NIfTI, as with dcm2niix",
        )
    # GDCM turns MONOCHROME1 round, values and all.
    if header.samples != 1 or header.photometric != "MONOCHROME2":
        raise CaseError(
            case,
            expected="grey values, MONOCHROME2",
            got=f"{header.samples} samples a pixel, {header.photometric or 'no photometric interpretation'} in {name}",
            next_step="export the original series, not screen captures",
        )


def _check_bits(case: str, header: Header) -> None:
    """Each program reads contradicting bits in another way."""
    if header.used_bits and header.bits in _BITS and header.signed is not None:
        return
    raise CaseError(
        case,
        expected="BitsAllocated of 8, 16 or 32, BitsStored within it, HighBit as its last, and PixelRepresentation",
        got=f"others in {header.path.name}",
        next_step=_AGAIN,
    )


def _check_rescale(case: str, header: Header) -> None:
    """GDCM reads a slope of "abc" or infinity as a number, and the result is no HU."""
    scale = (header.slope, header.intercept)
    if not all(number is None or np.isfinite(number) for number in scale) or header.slope == 0:
        raise CaseError(
            case,
            expected="numbers as RescaleSlope and RescaleIntercept, the slope not 0",
            got=f"others in {header.path.name}",
            next_step=_AGAIN,
        )


def _check_place(case: str, header: Header) -> None:
    name = header.path.name
    for tag, field in _NEEDED.items():
        if getattr(header, field) is None:
            raise CaseError(case, expected=f"{tag} in every slice", got=f"none in {name}", next_step=_AGAIN)
    if min(header.pixel_spacing or (0,)) <= 0:
        got = f"{header.pixel_spacing} in {name}"
        raise CaseError(case, expected="a PixelSpacing above 0", got=got, next_step=_AGAIN)
    row, column = np.array(header.orientation).reshape(2, 3)
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if not np.allclose([*lengths, row @ column], [1, 1, 0], atol=_SAME_DIRECTION):
        got = f"{header.orientation} in {name}"
        raise CaseError(case, expected="two right-angled directions of length 1", got=got, next_step=_AGAIN)


def _check_same(case: str, first: Header, header: Header) -> None:
    differences = (
        ("series", first.series, header.series, first.series == header.series),
        ("size", _size(first), _size(header), _size(first) == _size(header)),
        (
            "pixel spacing",
            first.pixel_spacing,
            header.pixel_spacing,
            np.allclose(first.pixel_spacing or (), header.pixel_spacing or (), rtol=_SAME_SPACING, atol=0),
        ),
        (
            "orientation",
            first.orientation,
            header.orientation,
            np.allclose(first.orientation or (), header.orientation or (), atol=_SAME_DIRECTION),
        ),
    )
    for what, expected, got, same in differences:
        if not same:
            raise CaseError(
                case,
                expected=f"one {what} in all slices, {expected} as in {first.path.name}",
                got=f"{got} in {header.path.name}",
                next_step="export the axial slices as a series of their own",
            )


def _size(header: Header) -> str:
    return f"{header.columns} × {header.rows}"
