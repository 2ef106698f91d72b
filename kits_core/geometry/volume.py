"""An array with the affine that says where it lies in the patient."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from kits_core.files import written_aside

Affine = NDArray[np.float64]
Shape = tuple[int, int, int]

_PLANES = 16  # read at a time


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3-D array and its affine.

    `data`: any dtype, `(i, j, k)` in the order of the file. `affine`: float64 `(4, 4)`, voxel index to RAS millimetres.
    Raises `ValueError` for an array that is not 3-D or an affine that cannot be inverted.
    """

    data: NDArray[Any]
    affine: Affine

    def __post_init__(self) -> None:
        if self.data.ndim != 3:
            raise ValueError(f"a volume has 3 axes, got shape {self.data.shape}")
        affine = np.asarray(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or np.linalg.det(affine[:3, :3]) == 0:
            raise ValueError(f"an affine is a finite, invertible 4x4 matrix, got {affine.tolist()}")
        object.__setattr__(self, "affine", affine)

    @property
    def shape(self) -> Shape:
        """Number of voxels along each axis."""
        i, j, k = self.data.shape
        return i, j, k

    @property
    def orientation(self) -> str:
        """Where each axis points, e.g. `IPL`."""
        return "".join(nib.aff2axcodes(self.affine))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along each axis, in mm."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)


def canonical(volume: Volume) -> Volume:
    """The same volume with its axes nearest to the patient's right, front and head; the data are a view."""
    turn = io_orientation(volume.affine)
    return Volume(apply_orientation(volume.data, turn), volume.affine @ inv_ornt_aff(turn, volume.shape))


def along_axes_of(volume: Volume, affine: Affine) -> Volume:
    """The same volume with its axes as near as possible to the order and directions of `affine`'s; data are a view."""
    turn = ornt_transform(io_orientation(volume.affine), io_orientation(affine))
    return Volume(apply_orientation(volume.data, turn), volume.affine @ inv_ornt_aff(turn, volume.shape))


def voxels_sha256(volume: Volume) -> str:
    """SHA-256 of the voxels from left to right, back to front, feet to head: the same however a tool saved the scan."""
    turned = canonical(volume).data
    digest = hashlib.sha256(f"{turned.shape} {turned.dtype.name}".encode())
    for start in range(0, len(turned), _PLANES):
        digest.update(turned[start : start + _PLANES].tobytes())
    return digest.hexdigest()


def read_volume(path: Path) -> Volume:
    """A NIfTI file as a `Volume`; uncompressed data without scaling are memory-mapped, not read.

    Raises nibabel's `ImageFileError` for a file that is not NIfTI and `ValueError` for one that is not 3-D.
    """
    image = nib.load(path)
    return Volume(np.asanyarray(image.dataobj), image.affine)


def write_volume(path: Path, volume: Volume, *, note: str = "") -> None:
    """Write a NIfTI-1 file in mm under `path`, whole or not at all; compressed where it is called `.nii.gz`.

    `note`: at most 79 characters for the header's description.
    """
    image = nib.Nifti1Image(volume.data, volume.affine, dtype=volume.data.dtype)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = note
    with written_aside(path, suffix=".nii.gz" if path.name.endswith(".gz") else ".nii") as aside:
        nib.save(image, aside)
