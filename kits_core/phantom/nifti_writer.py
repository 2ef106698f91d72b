"""NIfTI files whose bytes depend on their content alone: no time, no file name, fixed header fields."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from isal import igzip
from nibabel.filebasedimages import ImageFileError

from kits_core.files import written_aside

_PIECE_BYTES = 16 << 20
_COMPRESSION = 2
_HEADER_BYTES = 352
_ALIGNED = 2


def write_nifti_gz(
    path: Path, data: npt.NDArray[Any], affine: npt.NDArray[np.float64], *, dtype: npt.DTypeLike, description: str = ""
) -> None:
    """Write `data` (3-D) as gzipped NIfTI-1 of `dtype`, atomically, units mm, sform as in the official files.

    Same input, same bytes. `description` is kept in the header's `descrip` (79 ASCII characters). Memory beyond `data`
    is one piece of about 16 MB: volumes are written along the last axis, the order in which NIfTI lays them on disk.
    """
    kind = np.dtype(dtype)
    slab = max(1, _PIECE_BYTES // max(1, kind.itemsize * int(np.prod(data.shape[:-1]))))
    with (
        written_aside(path) as aside,
        aside.open("wb") as file,
        igzip.IGzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=file, mtime=0) as packed,
    ):
        packed.write(_header(data.shape, affine, kind, description))
        for start in range(0, data.shape[-1], slab):
            packed.write(data[..., start : start + slab].astype(kind).tobytes(order="F"))


def read_description(path: Path) -> str | None:
    """The header's `descrip` of a NIfTI file; None where there is no readable NIfTI file."""
    try:
        return bytes(nib.load(path).header["descrip"]).rstrip(b"\0").decode("ascii", "replace")
    except (OSError, ImageFileError, EOFError, ValueError):
        return None


def _header(shape: tuple[int, ...], affine: npt.NDArray[np.float64], kind: np.dtype[Any], description: str) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(kind)
    header.set_zooms(np.sqrt(np.sum(affine[:3, :3] ** 2, axis=0)))
    header.set_sform(affine, code=_ALIGNED)
    header.set_xyzt_units("mm")
    header["descrip"] = description.encode("ascii")[:79]
    header["vox_offset"] = _HEADER_BYTES
    block: bytes = header.binaryblock
    return block + b"\0" * (_HEADER_BYTES - len(block))
