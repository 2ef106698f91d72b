import gzip
import hashlib
import resource
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kits_core.errors import CaseError
from kits_core.labels import Label
from kits_core.source import convert as module
from kits_core.source.convert import convert_image, convert_segmentation, load_image
from kits_core.source.nifti import open_nifti

_SHARED = Path(__file__).parents[3].parent / "shared"
_AFFINE = np.array([[0, 0, -0.7123, 7.77], [0, -0.7123, 0, 8.1], [-3.3, 0, 0, 9], [0, 0, 0, 1.0]])


def _save(path, data, *, slope=None, inter=0.0, kind=nib.Nifti1Image, big_endian=False):
    header = kind.header_class(endianness=">" if big_endian else "<")
    image = kind(data, _AFFINE, header, dtype=data.dtype)
    block = bytearray(image.to_bytes())
    if slope is not None:
        size = int(image.header["sizeof_hdr"])
        fields = kind.header_class(bytes(block[:size]), check=False)
        fields["scl_slope"], fields["scl_inter"] = slope, inter
        block[:size] = fields.binaryblock
    path.write_bytes(gzip.compress(bytes(block), 1) if path.suffix == ".gz" else bytes(block))
    return path


def _facts(path):
    with open_nifti(path) as reader:
        return reader.facts


def _data(path):
    return np.asarray(nib.load(path).dataobj)


_TYPES = ["int16", "int32", "uint8", "uint16", "int64", "float32", "float64"]


@settings(max_examples=40, deadline=None)
@given(
    data=hnp.arrays(np.int16, st.tuples(*[st.integers(1, 7)] * 3), elements=st.integers(0, 255)),
    dtype=st.sampled_from(_TYPES),
    packed=st.booleans(),
    big_endian=st.booleans(),
)
def test_whole_numbers_become_int16_with_the_same_values_and_grid(tmp_path_factory, data, dtype, packed, big_endian):
    folder = tmp_path_factory.mktemp("c")
    source = _save(folder / ("s.nii.gz" if packed else "s.nii"), data.astype(dtype), big_endian=big_endian)
    found = convert_image(source, folder / "t.nii")
    image = nib.load(folder / "t.nii")
    assert image.get_data_dtype() == np.dtype("<i2")
    assert np.array_equal(_data(folder / "t.nii"), data)
    assert image.affine.tobytes() == nib.load(source).affine.tobytes()
    assert found.facts == _facts(folder / "t.nii")
    assert found.sha256 == hashlib.sha256((folder / "t.nii").read_bytes()).hexdigest()
    assert found.bytes == (folder / "t.nii").stat().st_size
    assert (found.hu_min, found.hu_max, found.lossless) == (data.min(), data.max(), True)
    assert found.source_dtype == dtype


@pytest.mark.parametrize("add", [0, 0.5])
def test_an_image_is_loaded_as_it_would_be_converted(tmp_path, add, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_VOXELS", 16)
    source = _save(tmp_path / "s.nii.gz", np.arange(60.0).reshape(3, 4, 5) + add)
    found = load_image(source, case="a", next_step="mend it")
    convert_image(source, tmp_path / "t.nii")
    assert np.array_equal(found.hu, _data(tmp_path / "t.nii"))
    assert found.hu.dtype == _data(tmp_path / "t.nii").dtype
    assert np.array_equal(found.facts.affine, nib.load(source).affine)
    assert found.facts.notes == ()


def test_a_fourth_axis_of_length_1_is_left_out_and_said(tmp_path):
    data = np.arange(60, dtype=np.int16).reshape(3, 4, 5, 1, 1)
    source = _save(tmp_path / "s.nii.gz", data)
    note = ("a fourth axis of length 1 was left out",)
    assert load_image(source, case="a", next_step="mend it").facts.notes == note
    assert np.array_equal(load_image(source, case="a", next_step="mend it").hu, data[..., 0, 0])
    assert convert_image(source, tmp_path / "t.nii").notes == note
    assert nib.load(tmp_path / "t.nii").shape == (3, 4, 5)


def test_scaling_is_applied(tmp_path):
    stored = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    found = convert_image(_save(tmp_path / "s.nii.gz", stored, slope=2, inter=-1024), tmp_path / "t.nii")
    assert np.array_equal(_data(tmp_path / "t.nii"), stored * 2.0 - 1024)
    assert found.facts.dtype == "int16"
    convert_image(_save(tmp_path / "s.nii.gz", stored, slope=0, inter=5), tmp_path / "t.nii")
    assert np.array_equal(_data(tmp_path / "t.nii"), stored)


@pytest.mark.parametrize("wrong", [0.5, 40000.0, -40000.0])
def test_what_does_not_fit_int16_becomes_float32_from_the_first_voxel_on(tmp_path, wrong, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_VOXELS", 16)
    data = np.arange(60, dtype=np.float64).reshape(3, 4, 5)
    data[2, 3, 4] = wrong
    found = convert_image(_save(tmp_path / "s.nii.gz", data), tmp_path / "t.nii")
    assert found.facts.dtype == "float32"
    assert found.lossless
    assert np.array_equal(_data(tmp_path / "t.nii"), data)
    data[0, 0, 0] = 0.1
    assert not convert_image(_save(tmp_path / "s.nii.gz", data), tmp_path / "t.nii").lossless


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_and_nothing_is_left(tmp_path, wrong):
    data = np.zeros((3, 4, 5))
    data[1, 1, 1] = wrong
    with pytest.raises(CaseError, match="case_00005: expected a finite HU value"):
        convert_image(_save(tmp_path / "s.nii.gz", data), tmp_path / "t.nii", case="case_00005")
    assert [f.name for f in tmp_path.iterdir()] == ["s.nii.gz"]


def test_values_beyond_float32_are_refused(tmp_path):
    with pytest.raises(CaseError, match=r"1e\+300"):
        convert_image(_save(tmp_path / "s.nii.gz", np.full((2, 2, 2), 1e300)), tmp_path / "t.nii")


def test_a_cut_archive_leaves_the_old_file_as_it_was(tmp_path):
    rng = np.random.default_rng(0)
    source = _save(tmp_path / "s.nii.gz", rng.integers(-999, 999, (20, 30, 30)).astype(np.int16))
    convert_image(source, tmp_path / "t.nii")
    before = (tmp_path / "t.nii").read_bytes()
    source.write_bytes(source.read_bytes()[:-2000])
    with pytest.raises(CaseError, match=r"checksum|cut off"):
        convert_image(source, tmp_path / "t.nii")
    assert (tmp_path / "t.nii").read_bytes() == before
    assert sorted(f.name for f in tmp_path.iterdir()) == ["s.nii.gz", "t.nii"]


def test_nifti_2_stays_nifti_2(tmp_path):
    data = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    found = convert_image(_save(tmp_path / "s.nii.gz", data, kind=nib.Nifti2Image), tmp_path / "t.nii")
    assert isinstance(nib.load(tmp_path / "t.nii"), nib.Nifti2Image)
    assert np.array_equal(_data(tmp_path / "t.nii"), data)
    assert np.array_equal(found.facts.affine, _AFFINE)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float64"])
def test_segmentations_become_uint8_and_are_counted(tmp_path, dtype):
    labels = np.zeros((3, 4, 5), dtype)
    labels[0, 0], labels[1, 1, 1], labels[2, 2, 2:] = 1, 2, 3
    found = convert_segmentation(_save(tmp_path / "s.nii.gz", labels), tmp_path / "t.nii")
    assert nib.load(tmp_path / "t.nii").get_data_dtype() == np.uint8
    assert np.array_equal(_data(tmp_path / "t.nii"), labels)
    assert [v.voxels for v in found.volumes] == [51, 5, 1, 3]
    assert found.facts == _facts(tmp_path / "t.nii")
    labels[0, 0, 0] = 7
    with pytest.raises(CaseError, match=r"also .7"):
        convert_segmentation(_save(tmp_path / "s.nii.gz", labels), tmp_path / "u.nii")
    assert not (tmp_path / "u.nii").exists()


def test_percentiles_of_a_subsample_are_those_of_the_scan(tmp_path):
    # Columns differ much: a sample that hit only some of them would show.
    data = np.broadcast_to(np.arange(0, 2000, 10, dtype=np.int16)[:, None, None], (200, 120, 120))
    data = data + np.random.default_rng(0).integers(-5, 5, data.shape).astype(np.int16)
    found = convert_image(_save(tmp_path / "s.nii", data), tmp_path / "t.nii")
    for percent in (5, 50, 95):
        assert found.hu_percentiles[f"p{percent}"] == pytest.approx(np.percentile(data, percent), abs=10)


def test_memory_does_not_grow_with_the_scan(tmp_path):
    # 100 MB of float64; converting it may cost chunks, not copies.
    data = np.zeros((50, 500, 500))
    source = _save(tmp_path / "s.nii.gz", data)
    del data
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    convert_image(source, tmp_path / "t.nii")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000


def test_the_real_scan_becomes_int16(tmp_path):
    scan = _SHARED / "ct" / "abdomen_3mm.nii.gz"
    if not scan.is_file():
        pytest.skip(f"needs the real scan at {scan}")
    found = convert_image(scan, tmp_path / "t.nii")
    assert (found.source_dtype, found.facts.dtype, found.facts.orientation) == ("int32", "int16", "RAS")
    assert np.array_equal(_data(tmp_path / "t.nii"), _data(scan))
    assert nib.load(tmp_path / "t.nii").affine.tobytes() == nib.load(scan).affine.tobytes()


def test_values_of_another_source_become_labels(tmp_path):
    values = np.zeros((9, 9, 9), np.float32)
    values[2:4], values[5:6], values[7:8] = 200, 7.001, 4
    source = _save(tmp_path / "s.nii.gz", values)
    meanings = {200: Label.KIDNEY, 7: Label.TUMOR, 4: Label.BACKGROUND}
    found = convert_segmentation(source, tmp_path / "t.nii", values=meanings)
    expected = np.zeros((9, 9, 9))
    expected[2:4], expected[5:6] = 1, 2
    assert np.array_equal(_data(found.path), expected)
    assert [volume.voxels for volume in found.volumes] == [729 - 243, 162, 81, 0]
    assert found.notes == ("labels that were nearly whole numbers were rounded",)
    with pytest.raises(CaseError, match=r"expected labels 0, 7 and 200 in s\.nii\.gz, got also \[4\.0\]"):
        convert_segmentation(source, tmp_path / "t.nii", values={200: Label.KIDNEY, 7: Label.TUMOR})
