"""What the header of one DICOM file says, as far as finding, ordering and reading a CT series need it."""

import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID

_MARK_AT, _MARK = 128, b"DICM"
_BARE_STARTS = (b"\x02\x00", b"\x08\x00")
"""Groups 0002 and 0008, with which a data set begins whose preamble was left out, as in old exports."""
MEDIA_DIRECTORY = UID("1.2.840.10008.1.3.10")
"""SOP class of a DICOMDIR, the table of contents of a disc."""

_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"),
    *("SeriesDescription", "Modality", "ImageType"),
    *("InstanceNumber", "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "LossyImageCompression"),
]

BROKEN = (
    *(InvalidDicomError, BytesLengthException, struct.error, NotImplementedError, EOFError, OverflowError),
    *(ValueError, TypeError, KeyError, AttributeError, zlib.error),
)
"""Errors that pydicom raised in tests with cut and damaged files."""

Numbers = tuple[float, ...]
T = TypeVar("T")


@dataclass(frozen=True)
class Header:
    """One DICOM file. A tag that is missing, empty or not of its type is None (text: empty).

    `pixel_spacing`: mm between rows, then between columns. `position`: LPS mm of the first pixel's centre.
    `orientation`: direction of a row, then of a column, LPS. `slope`, `intercept`: HU = stored * slope + intercept; NaN
    where one stands there that is no number. `bits`: of a sample, as stored; `used_bits`: the lowest of them, which
    count, or 0 where the header contradicts itself. `signed`: None where the header does not say. `frames`: 1 for an
    ordinary slice, 0 for a file without an image.
    """

    path: Path
    sop_class: str
    instance: str
    series: str
    study: str
    frame_of_reference: str
    description: str
    modality: str
    localizer: bool
    number: int | None
    frames: int
    rows: int
    columns: int
    samples: int
    bits: int
    used_bits: int
    signed: bool | None
    photometric: str
    pixel_spacing: Numbers | None
    position: Numbers | None
    orientation: Numbers | None
    slope: float | None
    intercept: float | None
    lossy: bool


def looks_like_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM does, with or without the preamble. Raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        start = file.read(_MARK_AT + len(_MARK))
    return start[_MARK_AT:] == _MARK or start[:2] in _BARE_STARTS


def read_header(path: Path) -> Header | None:
    """The header of a DICOM file; None for a DICOMDIR, or a file without preamble that is no DICOM after all.

    Raises `ValueError` with the reason for a file that is marked as DICOM and cannot be read or names no series.
    """
    marked = _is_marked(path)
    try:
        with disable_value_validation():
            data = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            found = _header(path, data)
            is_directory = MEDIA_DIRECTORY in (found.sop_class, _text(data.file_meta, "MediaStorageSOPClassUID"))
    except BROKEN as error:
        if not marked:
            return None
        raise ValueError(f"a header that cannot be read ({error or type(error).__name__})") from error
    if is_directory:
        return None
    if not found.series:
        if not marked:
            return None
        raise ValueError("a header without SeriesInstanceUID: cut off, or not an image")
    return found


def _is_marked(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(_MARK_AT + len(_MARK))[_MARK_AT:] == _MARK


def _header(path: Path, data: Dataset) -> Header:
    rows = _whole(data, "Rows") or 0
    bits = _whole(data, "BitsAllocated") or 16
    return Header(
        path=path,
        sop_class=_text(data, "SOPClassUID"),
        instance=_text(data, "SOPInstanceUID"),
        series=_text(data, "SeriesInstanceUID"),
        study=_text(data, "StudyInstanceUID"),
        frame_of_reference=_text(data, "FrameOfReferenceUID"),
        description=_text(data, "SeriesDescription"),
        modality=_text(data, "Modality"),
        localizer="LOCALIZER" in _text(data, "ImageType").upper(),
        number=_whole(data, "InstanceNumber"),
        frames=(_whole(data, "NumberOfFrames") or 1) if rows else 0,
        rows=rows,
        columns=_whole(data, "Columns") or 0,
        samples=_whole(data, "SamplesPerPixel") or 1,
        bits=bits,
        used_bits=_used_bits(data, bits),
        signed=_or_none(lambda: bool((0, 1).index(int(data.PixelRepresentation)))),
        photometric=_text(data, "PhotometricInterpretation"),
        pixel_spacing=_numbers(data, "PixelSpacing", 2),
        position=_numbers(data, "ImagePositionPatient", 3),
        orientation=_numbers(data, "ImageOrientationPatient", 6),
        slope=_rescale(data, "RescaleSlope"),
        intercept=_rescale(data, "RescaleIntercept"),
        lossy=_text(data, "LossyImageCompression") == "01",
    )


def _used_bits(data: Dataset, bits: int) -> int:
    """0 unless HighBit is the last of the bits that are stored, and these are some of the allocated."""
    used = _whole(data, "BitsStored") if "BitsStored" in data else bits
    high = _whole(data, "HighBit") if "HighBit" in data else (used or 0) - 1
    return used if used is not None and 1 <= used <= bits and high == used - 1 else 0


def _text(data: Dataset, tag: str) -> str:
    """Without padding, and with a mark for each character that controls a terminal."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in str(data.get(tag) or "").strip(" \0"))


def _numbers(data: Dataset, tag: str, count: int) -> Numbers | None:
    return _or_none(lambda: _exactly(count, tuple(float(v) for v in data[tag].value)))


def _rescale(data: Dataset, tag: str) -> float | None:
    if tag not in data:
        return None
    number = _or_none(lambda: None if data[tag].is_empty else float(data[tag].value))
    return number if number is not None or _or_none(lambda: data[tag].is_empty) else math.nan


def _whole(data: Dataset, tag: str) -> int | None:
    return _or_none(lambda: int(data[tag].value))


def _exactly(count: int, values: Numbers) -> Numbers:
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError
    return values


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except BROKEN:
        return None
