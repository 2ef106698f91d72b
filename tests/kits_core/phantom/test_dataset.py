import gzip
import json
import time
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from kits_core.errors import CaseError, KitsError
from kits_core.files import sha256_of
from kits_core.phantom.anatomy import make_labels
from kits_core.phantom.dataset import kits_affine, paint_masks, write_case, write_phantoms
from kits_core.source.clinical import read_clinical

_SHARED = Path(__file__).parents[3].parent / "shared" / "kits23" / "dataset"
_write = partial(write_phantoms, shape=(12, 32, 32), spacing_mm=(14.0, 9.0, 9.0))


def _bytes(root):
    return {f.relative_to(root).as_posix(): f.read_bytes() for f in sorted(root.rglob("*")) if f.is_file()}


def test_a_folder_in_the_official_layout(tmp_path):
    names = _write(tmp_path, 3, seed=23)
    assert names == ["case_00000", "case_00001", "case_00002"]
    assert sorted(_bytes(tmp_path)) == sorted(
        [f"{n}/{f}" for n in names for f in ("imaging.nii.gz", "segmentation.nii.gz")] + ["SHA256SUMS", "kits23.json"]
    )
    for line in (tmp_path / "SHA256SUMS").read_text().splitlines():
        digest, file = line.split("  ")
        assert sha256_of(tmp_path / file) == digest
    image, mask = (nib.load(tmp_path / "case_00000" / f) for f in ("imaging.nii.gz", "segmentation.nii.gz"))
    assert nib.aff2axcodes(image.affine) == ("I", "P", "L")
    assert np.array_equal(image.affine, kits_affine((14, 9, 9)))
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (image.get_data_dtype(), mask.get_data_dtype()) == (np.int16, np.uint8)
    assert image.shape == mask.shape == (12, 32, 32)


def test_bytes_depend_on_seed_and_index_alone(tmp_path):
    _write(tmp_path / "a", 2, seed=1, workers=1)
    _write(tmp_path / "b", 3, seed=1, workers=3)
    _write(tmp_path / "c", 2, seed=2)
    a, b, c = (_bytes(tmp_path / x) for x in "abc")
    assert all(a[f] == b[f] for f in a if f.startswith("case"))
    assert a["case_00001/imaging.nii.gz"] != c["case_00001/imaging.nii.gz"]
    header = a["case_00000/imaging.nii.gz"][:10]
    assert header[3] == 0  # no file name
    assert header[4:8] == b"\0" * 4  # no time


def test_whole_cases_are_kept_and_others_made_again(tmp_path):
    _write(tmp_path, 2, seed=1)
    kept = (tmp_path / "case_00000/imaging.nii.gz").stat().st_mtime_ns
    before = _bytes(tmp_path)
    (tmp_path / "case_00001/imaging.nii.gz").unlink()
    _write(tmp_path, 2, seed=1)
    assert _bytes(tmp_path) == before
    assert (tmp_path / "case_00000/imaging.nii.gz").stat().st_mtime_ns == kept
    _write(tmp_path, 2, seed=9)
    assert _bytes(tmp_path)["case_00000/imaging.nii.gz"] != before["case_00000/imaging.nii.gz"]


def test_default_phantoms_are_anisotropic_varied_and_quick(tmp_path):
    start = time.monotonic()
    write_phantoms(tmp_path, 3, seed=5)
    assert time.monotonic() - start < 15
    images = [nib.load(f) for f in sorted(tmp_path.glob("*/imaging.nii.gz"))]
    assert len({i.shape for i in images}) > 1
    for image in images:
        assert 40 <= image.shape[0] <= 64
        assert image.header.get_zooms()[0] > 1.1 * image.header.get_zooms()[1]


def test_records_have_the_official_structure(tmp_path):
    _write(tmp_path, 6, seed=3)
    records = json.loads((tmp_path / "kits23.json").read_text())
    typed = read_clinical(tmp_path / "kits23.json").records
    assert len({r["sex"] for r in typed}) > 1
    assert all(r["radiographic_size_cm"] > 0 for r in typed)
    if not (_SHARED / "kits23.json").is_file():
        pytest.skip(f"needs the official records at {_SHARED}")
    official = json.loads((_SHARED / "kits23.json").read_text())[0]
    for record in records:
        assert list(record) == list(official)
        assert record["comorbidities"].keys() == official["comorbidities"].keys()


def test_images_can_be_stored_as_float64_and_say_the_same(tmp_path):
    labels = make_labels((10, 24, 24), (15.0, 12.0, 12.0), np.random.default_rng(0))
    affine = kits_affine((15.0, 12.0, 12.0))
    for folder, dtype in (("a", np.int16), ("b", np.float64)):
        write_case(tmp_path / folder, "case_00007", labels, affine, np.random.default_rng(1), image_dtype=dtype)
    a, b = (nib.load(tmp_path / f / "case_00007/imaging.nii.gz") for f in "ab")
    assert b.get_data_dtype() == np.float64
    assert np.array_equal(np.asarray(a.dataobj), np.asarray(b.dataobj))
    mask = nib.load(tmp_path / "a/case_00007/segmentation.nii.gz")
    assert np.array_equal(np.asarray(mask.dataobj), labels)
    gzip.decompress((tmp_path / "a/case_00007/imaging.nii.gz").read_bytes())


def test_names_and_counts_are_checked(tmp_path):
    labels = np.zeros((8, 8, 8), np.uint8)
    with pytest.raises(CaseError, match="case_00042"):
        write_case(tmp_path, "../evil", labels, np.eye(4), np.random.default_rng(0))
    with pytest.raises(KitsError, match="from 1 to 489"):
        write_phantoms(tmp_path, 0, seed=1)
    assert not list(tmp_path.iterdir())


def test_masks_become_a_folder_to_ingest(tmp_path):
    _write(tmp_path / "masks", 2, seed=1)
    for file in (tmp_path / "masks").glob("*/imaging.nii.gz"):
        file.unlink()
    assert paint_masks(tmp_path / "masks", tmp_path / "out", ["case_00001"], seed=4) == ["case_00001"]
    first = _bytes(tmp_path / "out")
    assert sorted(first) == ["SHA256SUMS", "case_00001/imaging.nii.gz", "case_00001/segmentation.nii.gz", "kits23.json"]
    assert [r["case_id"] for r in json.loads(first["kits23.json"])] == ["case_00001"]
    paint_masks(tmp_path / "masks", tmp_path / "out", ["case_00001"], seed=4)
    assert _bytes(tmp_path / "out") == first
    with pytest.raises(KitsError, match="expected a mask"):
        paint_masks(tmp_path / "masks", tmp_path / "out", ["case_00009"], seed=4)
