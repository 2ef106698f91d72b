"""NRRD and MetaImage files, which ITK reads, made NIfTI."""

from pathlib import Path
from threading import BoundedSemaphore

import nibabel as nib
import numpy as np

from kits_core.errors import CaseError

_MAGIC = {b"NRRD": "NrrdImageIO", b"ObjectType": "MetaImageIO", b"Comment": "MetaImageIO", b"NDims": "MetaImageIO"}
WHOLE_SCANS = BoundedSemaphore(2)
"""Scans that are read whole at once, in all threads: a long one takes over a gigabyte until it is written."""
_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK's axes lead to the patient's left and back, NIfTI's to the right and front."""


def is_itk(path: Path) -> bool:
    """Whether a file begins as an NRRD or a MetaImage does."""
    return _reader_of(path) is not None


def itk_to_nifti(source: Path, target: Path, *, case: str) -> Path:
    """Write the image at `source`, NRRD or MetaImage, as uncompressed NIfTI to `target`, and return that.

    Voxels keep their values and type, and lie where they lay. Raises `CaseError` naming `case` for a file that cannot
    be read, one that is not 3-D, and one with several values in a voxel.
    """
    import SimpleITK  # noqa: PLC0415 - half a second, which files of other kinds need not wait for

    step = "export it again as one 3-D volume, as NIfTI if it can be"
    with WHOLE_SCANS:
        reader = SimpleITK.ImageFileReader()
        reader.SetImageIO(_reader_of(source) or "")
        reader.SetFileName(str(source))
        try:
            image = reader.Execute()
            values = SimpleITK.GetArrayViewFromImage(image)
        except (RuntimeError, MemoryError) as error:
            got = str(error).strip().splitlines()[-1] if str(error).strip() else "too little memory"
            raise CaseError(
                case, expected=f"an image that ITK reads in {source.name}", got=got, next_step=step
            ) from error
        if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
            got = f"{image.GetDimension()} dimensions, {image.GetNumberOfComponentsPerPixel()} values in a voxel"
            raise CaseError(case, expected="3 dimensions and one value in a voxel", got=got, next_step=step)
        affine = np.eye(4)
        affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.array(image.GetSpacing())
        affine[:3, 3] = image.GetOrigin()
        written = nib.Nifti1Image(values.T, _TO_RAS @ affine, dtype=values.dtype)
        written.header.set_xyzt_units("mm")
        nib.save(written, target)
    return target


def _reader_of(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(16)
    return next((reader for magic, reader in _MAGIC.items() if start.startswith(magic)), None)
