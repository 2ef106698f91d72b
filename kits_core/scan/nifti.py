"""A NIfTI, NRRD or MetaImage file as HU."""

import tempfile
from pathlib import Path

import numpy as np

from kits_core.errors import CaseError
from kits_core.geometry.volume import Volume
from kits_core.scan.find import Scan
from kits_core.scan.itk import is_itk, itk_to_nifti
from kits_core.source.convert import LoadedImage, load_image


def read_nifti(scan: Scan) -> tuple[Volume, tuple[str, ...]]:
    """The volume of a `.nii`, `.nii.gz`, `.nrrd` or `.mha`, on the file's own axes, and what was handled.

    Raises `CaseError` for: no NIfTI, a cut or damaged archive, other than 3 axes (a fourth of length 1 is left out), an
    affine that is not finite and invertible, units other than mm, and values that are not finite.
    """
    try:
        loaded = _loaded(scan)
    except OSError as error:
        raise CaseError(
            scan.name,
            expected=f"to read {scan.path}",
            got=error.strerror or str(error),
            next_step="make it readable",
        ) from error
    return Volume(loaded.hu, np.array(loaded.facts.affine)), tuple(_notes(loaded))


def _loaded(scan: Scan) -> LoadedImage:
    step = "export the scan again as one 3-D volume"
    if scan.kind == "nifti" or not is_itk(scan.path):
        return load_image(scan.path, case=scan.name, next_step=step)
    with tempfile.TemporaryDirectory() as folder:
        nifti = itk_to_nifti(scan.path, Path(folder) / f"{scan.name}.nii", case=scan.name)
        return load_image(nifti, case=scan.name, next_step=step)


def _notes(loaded: LoadedImage) -> list[str]:
    facts = loaded.facts
    notes = list(facts.notes)
    if (facts.slope, facts.intercept) != (1.0, 0.0):
        notes.append(f"rescale slope {facts.slope:g}, intercept {facts.intercept:g} applied")
    if loaded.hu.dtype != np.int16:
        notes.append("values are not whole numbers of 16 bits: kept as float32")
    return notes
