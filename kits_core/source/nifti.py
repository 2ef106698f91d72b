"""NIfTI as a stream of bytes: the header, checked field by field, and the voxels in the order of the disk."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import igzip, isal_zlib
from nibabel.spatialimages import HeaderDataError

from kits_core.errors import CaseError
from kits_core.source.growing import Growing

_AGAIN = "correct it at the source; the next ingestion fetches it anew"
_GZIP_MAGIC = b"\x1f\x8b"
_SIZE_OF_HEADER = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_SPACE_UNIT_BITS, MILLIMETRES = 7, 2
_OTHER_UNITS = {1: "metres", 3: "micrometres"}
# isal types its error as an instance; it is a class.
_DEFLATE_ERROR = cast("type[Exception]", isal_zlib.IsalError)
_CASE = re.compile(r"case_\d{5}")


@dataclass(frozen=True)
class NiftiFacts:
    """What a NIfTI header says. `shape` in voxels; `dtype` as stored, a numpy name; `affine` as rows, voxel to RAS mm.

    `orientation`: the axes' directions, e.g. `IPL`; `slope`, `intercept`: value = stored * slope + intercept.
    """

    shape: tuple[int, int, int]
    dtype: str
    spacing_mm: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]
    orientation: str
    slope: float
    intercept: float

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in ml, from the affine, so that sheared grids are right too."""
        matrix = np.array(self.affine)[:3, :3]
        return float(abs(np.linalg.det(matrix))) / 1000


class NiftiReader:
    """An open NIfTI file, gzipped or not, read once from front to back. Every failure to read is a `CaseError`.

    `squeezed`: how many axes of length 1 after the third were left out.
    """

    def __init__(self, path: Path | Growing, case: str, stream: BinaryIO, *, squeeze: bool = False) -> None:
        self._path, self._case, self._stream = path, case, stream
        self.header = self._read_header()
        self.squeezed = self._squeeze() if squeeze else 0
        self.facts = self._check_header()

    def chunks(self, voxels: int) -> Iterator[npt.NDArray[Any]]:
        """All voxels as stored, in the order of the disk (first axis fastest), up to `voxels` at once, 1-D.

        Raises `CaseError` if data are missing, if the archive's checksum is wrong, or if there is more than the header
        says; reading stops there, so that a file that unpacks without end costs nothing.
        """
        dtype = self.header.get_data_dtype()
        left = self.facts.voxels
        while left:
            wanted = min(voxels, left)
            data = self._read(wanted * dtype.itemsize)
            if len(data) < wanted * dtype.itemsize:
                have = self.facts.voxels - left + len(data) // dtype.itemsize
                raise self.error(f"{self.facts.voxels} voxels, as its header says", f"{have}: the data are cut off")
            left -= wanted
            yield np.frombuffer(data, dtype)
        if self._read(1):
            raise self.error(f"{self.facts.voxels} voxels, as its header says", "bytes after the last voxel")

    def error(self, expected: str, got: str, next_step: str = _AGAIN) -> CaseError:
        """A `CaseError` about this file."""
        return CaseError(self._case, expected=f"{expected} in {self._path.name}", got=got, next_step=next_step)

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes, or what there is until the end."""
        parts = []
        try:
            while size and (part := self._stream.read(size)):
                parts.append(part)
                size -= len(part)
        except (OSError, EOFError, _DEFLATE_ERROR) as error:
            raise self.error(
                "a whole gzip archive with a right checksum", f"{error or type(error).__name__}"
            ) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _read_header(self) -> Any:
        start = self._read(4)
        size = next((n for n in _SIZE_OF_HEADER if n in (int.from_bytes(start, e) for e in ("little", "big"))), None)
        if size is None:
            raise self.error("a NIfTI file", _describe(start))
        block = start + self._read(size - 4)
        if len(block) < size:
            raise self.error("a NIfTI file", f"{len(block)} bytes of header")
        header = _SIZE_OF_HEADER[size](block, check=False)
        if bytes(header["magic"]).rstrip(b"\0")[:3] not in (b"n+1", b"n+2"):
            raise self.error("a NIfTI file with its data in it", f"magic {bytes(header['magic'])!r}")
        offset = max(int(header["vox_offset"]), size)
        if offset > size + (1 << 20) or len(self._read(offset - size)) < offset - size:
            raise self.error("voxels soon after the header", f"them to start at byte {offset}")
        return header

    def _squeeze(self) -> int:
        dim = [int(n) for n in self.header["dim"]]
        if not (3 < dim[0] <= 7 and all(n == 1 for n in dim[4 : dim[0] + 1])):
            return 0
        self.header["dim"] = [3, *dim[1:4], 1, 1, 1, 1]
        return dim[0] - 3

    def _check_header(self) -> NiftiFacts:
        header = self.header
        dim = [int(n) for n in header["dim"]]
        if dim[0] != 3 or min(dim[1:4]) < 1:
            raise self.error("a scan with 3 axes", f"dimensions {tuple(dim[1 : 1 + max(0, min(dim[0], 7))])}")
        try:
            dtype = header.get_data_dtype()
        except (HeaderDataError, KeyError) as error:
            raise self.error("a known voxel type", f"code {int(header['datatype'])}") from error
        if dtype.kind not in "iuf" or dtype.itemsize > 8:
            raise self.error("whole or floating-point voxels of up to 64 bits", str(dtype))
        pixdim = [float(s) for s in header["pixdim"][1:4]]
        if not all(np.isfinite(s) and s > 0 for s in pixdim):
            raise self.error("a spacing above 0 on each axis", f"pixdim {pixdim}")
        if (unit := int(header["xyzt_units"]) & _SPACE_UNIT_BITS) in _OTHER_UNITS:
            raise self.error("spacing in millimetres", f"spacing in {_OTHER_UNITS[unit]}")
        slope, intercept = self._scaling()
        affine, spacing = self._affine()
        return NiftiFacts(
            shape=(dim[1], dim[2], dim[3]),
            dtype=dtype.newbyteorder("=").name,
            spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
            affine=tuple(tuple(float(v) for v in row) for row in affine),
            orientation="".join(nib.aff2axcodes(affine)),
            slope=slope,
            intercept=intercept,
        )

    def _affine(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        try:
            affine = np.asarray(self.header.get_best_affine(), dtype=np.float64)
        except (HeaderDataError, ValueError) as error:
            raise self.error("a finite affine", str(error)) from error
        if not np.isfinite(affine).all():
            raise self.error("a finite affine", str(affine.tolist()))
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if min(spacing) <= 0 or np.linalg.det(affine[:3, :3] / spacing) == 0:
            raise self.error("an affine that can be inverted", str(affine.tolist()))
        return affine, spacing

    def _scaling(self) -> tuple[float, float]:
        """Slope and intercept; a slope of 0 or NaN means none (NIfTI-1 standard, `scl_slope`)."""
        slope, intercept = float(self.header["scl_slope"]), float(self.header["scl_inter"])
        if np.isnan(slope) or slope == 0:
            return 1.0, 0.0
        intercept = 0.0 if np.isnan(intercept) else intercept
        if not np.isfinite(slope) or not np.isfinite(intercept):
            raise self.error("a finite scl_slope and scl_inter", f"{slope} and {intercept}")
        return slope, intercept


@contextmanager
def open_nifti(path: Path | Growing, case: str | None = None, *, squeeze: bool = False) -> Iterator[NiftiReader]:
    """Open a `.nii` or `.nii.gz` (told by its first bytes, not its name). `case` is what errors name.

    By default the case is the `case_xxxxx` in the path, else the file's name. `squeeze`: a fourth axis of length 1, as
    some programs write, is taken for none. Raises `CaseError` for a file that is not NIfTI; `FileNotFoundError` where
    there is none.
    """
    case = case or case_of(path)
    with path.open("rb") as raw:
        packed = raw.peek(2)[:2] == _GZIP_MAGIC
        stream = cast("BinaryIO", igzip.IGzipFile(fileobj=raw, mode="rb")) if packed else raw
        yield NiftiReader(path, case, stream, squeeze=squeeze)


def case_of(path: Path | Growing) -> str:
    """The nearest `case_xxxxx` in a path, else the file's name."""
    found = (match[0] for part in reversed(path.parts) if (match := _CASE.search(part)))
    return next(found, path.name)


def _describe(start: bytes) -> str:
    if not start:
        return "an empty file"
    if start.lstrip().startswith(b"<"):
        return "a web page"
    return f"a file that starts with {start!r}"
