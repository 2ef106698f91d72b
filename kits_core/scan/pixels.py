"""The pixels of DICOM slices as HU, through SimpleITK's GDCM, which applies rescaling and knows the compressions."""

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from pydicom import dcmread

from kits_core.errors import CaseError
from kits_core.scan.header import Header

_AGAIN = "export the series again from the scanner or archive"
_UNDEFINED, _ITEM, _END = 0xFFFFFFFF, (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_PIXEL_DATA = (0x7FE0, 0x0010)
_ADDRESS = re.compile(r"\(0x[0-9a-f]+\)")
_INT16 = np.iinfo(np.int16)


def load_pixels(case: str, slices: Sequence[Header]) -> NDArray[Any]:
    """HU of slices of one size, `(column, row, slice)`: int16 where that loses nothing, else float32.

    The first slice is read before room is made for all, so that a size in a header is known to be true.

    Raises `CaseError` naming `case` and the file for pixel data that are cut off, cannot be decoded or are not finite.
    """
    first = load_slice(case, slices[0])
    hu: NDArray[Any] = np.empty((slices[0].columns, slices[0].rows, len(slices)), np.int16, order="F")
    for k, header in enumerate(slices):
        values = (load_slice(case, header) if k else first).T
        if hu.dtype == np.int16 and not _fits_int16(values):
            hu = hu.astype(np.float32)
        hu[:, :, k] = values
    return hu


def load_slice(case: str, header: Header) -> NDArray[Any]:
    """HU of one slice, `(row, column)`, of GDCM's type. Raises `CaseError` as `load_pixels`."""
    size = header.rows * header.columns * header.samples * header.bits // 8
    # Some exporters pad; a whole row or column more means that the header states another size than the picture has.
    padding = min(header.rows, header.columns) * header.samples * header.bits // 8
    if reason := wrong_length(header.path, size, max(padding, 2)):
        raise CaseError(case, expected=f"whole pixel data in {header.path.name}", got=reason, next_step=_AGAIN)
    try:
        image = SimpleITK.ReadImage(str(header.path), imageIO="GDCMImageIO")
        values = SimpleITK.GetArrayFromImage(image)
    except RuntimeError as error:
        raise CaseError(
            case,
            expected=f"pixel data that can be decoded in {header.path.name}",
            got=_ADDRESS.sub("", str(error).strip().rsplit("\n", 1)[-1]),
            next_step="export the series again, uncompressed",
        ) from error
    if values.shape != (1, header.rows, header.columns) or not np.isfinite(values).all():
        got = f"an array of {values.shape}, or values that are not finite"
        raise CaseError(case, expected=f"one slice of finite values in {header.path.name}", got=got, next_step=_AGAIN)
    return values[0]


def same_pixels(case: str, one: Header, other: Header) -> bool:
    """Whether two slices have the same HU in every pixel."""
    return bool(np.array_equal(load_slice(case, one), load_slice(case, other)))


def _fits_int16(values: NDArray[Any]) -> bool:
    if values.dtype == np.int16:
        return True
    if values.min() < _INT16.min or values.max() > _INT16.max:
        return False
    return values.dtype.kind in "iu" or bool(np.array_equal(values, np.rint(values)))


def wrong_length(path: Path, size: int, padding: int) -> str | None:
    """How much of `size` bytes of pixels is missing at the end of a file, or that there are `padding` or more too many.

    GDCM and pydicom decode some cut files without an error. For compressed pixels, this checks that they end properly.
    """
    with path.open("rb") as file:
        data = dcmread(file, stop_before_pixels=True, specific_tags=[], force=True)
        syntax = data.file_meta.get("TransferSyntaxUID")
        if syntax is not None and syntax.is_deflated:
            return None  # the rest of the file is one zlib stream with its own checksum
        implicit, little = data.original_encoding
        length = _pixel_data_length(file, implicit=implicit is not False, order="<" if little is not False else ">")
        if length is None:
            return "none"
        if length == _UNDEFINED:
            return None if _ends_properly(file) else "compressed data that end early"
        there = min(length, _size(path) - file.tell())
    return None if size <= there < size + padding else f"{there} of {size} bytes"


def _pixel_data_length(file: BinaryIO, *, implicit: bool, order: str) -> int | None:
    """The length that the pixel data element claims; leaves `file` at its value. None where there is no element."""
    start = file.read(8 if implicit else 12)
    if len(start) < (8 if implicit else 12) or struct.unpack(f"{order}HH", start[:4]) != _PIXEL_DATA:
        return None
    length: int = struct.unpack(f"{order}I", start[-4:])[0]
    return length


def _ends_properly(file: BinaryIO) -> bool:
    """Whether encapsulated pixel data (always little-endian) run on to their end mark (DICOM PS3.5, A.4)."""
    size = _size(Path(file.name))
    while len(start := file.read(8)) == 8:
        group, element, length = struct.unpack("<HHI", start)
        if (group, element) == _END:
            return True
        if (group, element) != _ITEM or file.tell() + length > size:
            return False
        file.seek(length, 1)
    return False


def _size(path: Path) -> int:
    return path.stat().st_size
