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
from kits_core.geometry.header import HeaderError, HeaderGrid, read_grid
from kits_core.source.growing import Growing

_AGAIN = "correct it at the source; the next ingestion fetches it anew"
_GZIP_MAGIC = b"\x1f\x8b"
_SIZE_OF_HEADER = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_MAGIC = {348: b"n+1\0", 540: b"n+2\0"}
_LINE_ENDS = (b"\r\n\x1a\n", bytes(4))  # damaged by a transfer as text; some writers leave it out
_FURTHEST_START = 1 << 20
_MOST_PACKED = 1032
"""Deflate makes at most so many bytes of one (RFC 1951: 258 of two bits)."""
# isal types its error as an instance; it is a class.
_DEFLATE_ERROR = cast("type[Exception]", isal_zlib.IsalError)
_CASE = re.compile(r"case_\d{5}")


@dataclass(frozen=True)
class NiftiFacts:
    """What a NIfTI header says. `shape` in voxels; `dtype` as stored, a numpy name; `affine` as rows, voxel to RAS mm.

    `orientation`: the axes' directions, e.g. `IPL`; `slope`, `intercept`: value = stored * slope + intercept. `notes`:
    what of the header a reader should know, for people.
    """

    shape: tuple[int, int, int]
    dtype: str
    spacing_mm: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]
    orientation: str
    slope: float
    intercept: float
    notes: tuple[str, ...] = ()

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

    `room`: the most bytes that can come after unpacking; None where nobody knows, as of a file that still arrives.
    `next_step`: what errors advise.
    """

    def __init__(
        self, path: Path | Growing, case: str, stream: BinaryIO, *, room: int | None = None, next_step: str = _AGAIN
    ) -> None:
        self._path, self._case, self._stream, self._next_step = path, case, stream, next_step
        self.header = self._read_header()
        self.grid = self._read_grid()
        self.facts = self._check_header()
        if room is not None and self.facts.voxels * self.header.get_data_dtype().itemsize > room:
            raise self.error(
                f"{self.facts.voxels} voxels, as its header says", "a file that is too short for them: it was cut off"
            )

    def chunks(self, voxels: int) -> Iterator[npt.NDArray[Any]]:
        """All voxels as stored, in the order of the disk (first axis fastest), up to `voxels` at once, 1-D.

        Raises `CaseError` if data are missing, if the archive's checksum is wrong, or if there is more than the header
        says; reading stops there, so that a file that unpacks to an endless stream does no harm.
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

    def error(self, expected: str, got: str, next_step: str | None = None) -> CaseError:
        """A `CaseError` about this file."""
        step = next_step or self._next_step
        return CaseError(self._case, expected=f"{expected} in {self._path.name}", got=got, next_step=step)

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
        if header["magic"].tobytes().ljust(4, b"\0") != _MAGIC[size]:
            raise self.error("a NIfTI file with its data in it", f"magic {bytes(header['magic'])!r}")
        if size == 540 and (ends := bytes(header["eol_check"])) not in _LINE_ENDS:
            raise self.error("a NIfTI-2 file that was copied byte by byte", f"line ends {ends!r} in its header")
        offset = float(header["vox_offset"])
        if not 0 <= offset <= size + _FURTHEST_START:  # NaN is not
            raise self.error("voxels soon after the header", f"them to start at byte {offset:g}")
        skipped = max(int(offset), size) - size
        if len(self._read(skipped)) < skipped:
            raise self.error("voxels soon after the header", f"the file's end before byte {offset:g}")
        return header

    def _read_grid(self) -> HeaderGrid:
        try:
            return read_grid(self.header)
        except HeaderError as error:
            raise self.error(error.expected, error.got, error.next_step) from error

    def _check_header(self) -> NiftiFacts:
        header = self.header
        try:
            dtype = header.get_data_dtype()
        except (HeaderDataError, KeyError) as error:
            raise self.error("a known voxel type", f"code {int(header['datatype'])}") from error
        if dtype.kind not in "iuf" or dtype.itemsize > 8:
            raise self.error("whole or floating-point voxels of up to 64 bits", str(dtype))
        slope, intercept = self._scaling()
        return NiftiFacts(
            shape=self.grid.shape,
            dtype=dtype.newbyteorder("=").name,
            spacing_mm=self.grid.spacing_mm,
            affine=tuple(tuple(float(v) for v in row) for row in self.grid.affine),
            orientation="".join(nib.aff2axcodes(self.grid.affine)),
            slope=slope,
            intercept=intercept,
            notes=self.grid.notes,
        )

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
def open_nifti(path: Path | Growing, case: str | None = None, *, next_step: str = _AGAIN) -> Iterator[NiftiReader]:
    """Open a `.nii` or `.nii.gz` (told by its first bytes, not its name). `case` is what errors name.

    By default the case is the `case_xxxxx` in the path, else the file's name. `next_step`: what errors advise. Raises
    `CaseError` for a file that is not NIfTI, whose header cannot be read in one way (`geometry.header.read_grid`), or
    that is too short for what its header says; `FileNotFoundError` where there is none.
    """
    case = case or case_of(path)
    with path.open("rb") as raw:
        packed = is_packed(raw.peek(2))
        stream = cast("BinaryIO", igzip.IGzipFile(fileobj=raw, mode="rb")) if packed else raw
        room = most_bytes(path.stat().st_size, packed=packed) if isinstance(path, Path) else None
        yield NiftiReader(path, case, stream, room=room, next_step=next_step)


def is_packed(start: bytes) -> bool:
    """Whether the first bytes of a file are those of a gzip archive."""
    return start[:2] == _GZIP_MAGIC


def most_bytes(size: int, *, packed: bool) -> int:
    """The most bytes that a file of `size` bytes can hold."""
    return size * (_MOST_PACKED if packed else 1)


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
