"""A split keeps copies of one scan apart from each other, however a tool saved them."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from flows.ingest import ingest
from flows.parameters import IngestParameters, SplitParameters
from flows.split import split
from kits_core.errors import KitsError


def _save_anew(path):
    """As a tool does that stores scans from head to feet, as 32-bit floats, with another header."""
    image = nib.load(path)
    data = np.flip(np.asarray(image.dataobj), 0).astype(np.float32 if path.name.startswith("imaging") else np.uint8)
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (data.shape[0] - 1)
    affine[:3, 0] *= -1
    nib.Nifti2Image(data, affine).to_filename(path)


def test_a_copy_that_was_saved_anew_is_the_same_image(home, phantoms, prefect_api, rows, tmp_path):
    source = tmp_path / "source"
    for number in (0, 1, 2):
        shutil.copytree(phantoms / f"case_{number:05d}", source / f"case_{number:05d}")
    shutil.copytree(source / "case_00001", source / "case_00003")
    for name in ("imaging.nii.gz", "segmentation.nii.gz"):
        _save_anew(source / "case_00003" / name)
    ingest(IngestParameters(source=str(source), dataset="copies"))
    assert rows("SELECT COUNT(DISTINCT sha256) FROM case_file WHERE kind = 'image'") == [(4,)]
    with pytest.raises(KitsError, match="case_00001, case_00003: expected every case to have an image of its own"):
        split(SplitParameters())
    # Only what might be the same image was read.
    read = 'SELECT c.name FROM case_file f JOIN "case" c ON c.id = f.case_id WHERE voxels_sha256 IS NOT NULL'
    assert rows(f"{read} ORDER BY 1") == [("case_00001",), ("case_00003",)]
