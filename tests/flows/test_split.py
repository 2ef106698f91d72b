"""A split keeps copies of one scan apart from each other, however a tool saved them."""

import shutil

import nibabel as nib
import numpy as np
import pytest

from db.settings import Settings
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


def test_an_image_that_is_gone_is_named_with_the_way_out(home, phantoms, prefect_api, tmp_path):
    source = tmp_path / "source"
    for number in (0, 1):
        shutil.copytree(phantoms / f"case_{number:05d}", source / f"case_{number:05d}")
    shutil.copytree(source / "case_00001", source / "case_00002")
    _save_anew(source / "case_00002" / "imaging.nii.gz")
    ingest(IngestParameters(source=str(source), dataset="copies"))
    (Settings().raw / "copies" / "case_00002" / "imaging.nii").unlink()
    with pytest.raises(KitsError, match=r"case_00002: expected .*, to tell .* got no file; run kits ingest"):
        split(SplitParameters())


def test_a_split_that_is_kept_takes_in_later_cases_and_moves_no_other(home, phantoms, prefect_api, rows, tmp_path):
    source = tmp_path / "source"
    names = [path.name for path in sorted(phantoms.glob("case_*"))]
    for name in names[:4]:
        shutil.copytree(phantoms / name, source / name)
    ingest(IngestParameters(source=str(source), dataset="growing"))
    first = split(SplitParameters(validation=0.25, folds=2))
    assert split(SplitParameters(keep=first.split_id)) == first
    for name in names[4:]:
        shutil.copytree(phantoms / name, source / name)
    ingest(IngestParameters(source=str(source), dataset="growing"))
    grown = split(SplitParameters(keep=first.split_id, validation=0.25))
    assert grown.split_id != first.split_id
    assert split(SplitParameters(keep=first.split_id, validation=0.25)) == grown
    places = "SELECT case_id, subset, fold FROM split_member WHERE split_id = {} ORDER BY 1"
    before, after = (rows(places.format(one.split_id)) for one in (first, grown))
    assert len(after) == len(names)
    assert set(before) < set(after)
    assert rows("SELECT split_id, kept_split_id, folds FROM split_overview ORDER BY 1") == [(1, None, 2), (2, 1, 2)]


def test_a_split_that_is_kept_has_no_other_folds():
    with pytest.raises(ValueError, match="expected keep without folds and without a file"):
        SplitParameters(keep=1, folds=2)
