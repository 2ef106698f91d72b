import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from kits_core.errors import CaseError
from kits_core.labels import Label
from kits_core.source.convert import convert_segmentation, load_labels
from kits_core.source.nifti import open_nifti
from kits_core.source.verify import check_hounsfield, check_pair, check_shape

_SHARED = Path(__file__).parents[3].parent / "shared"
_AFFINE = np.array([[0, 0, -0.5, 7], [0, -0.75, 0, 8], [-3, 0, 0, 9], [0, 0, 0, 1.0]])


def _save(path, data=None, affine=_AFFINE, **fields):
    data = np.arange(60, dtype=np.int16).reshape(3, 4, 5) if data is None else data
    image = nib.Nifti1Image(data, affine, dtype=data.dtype)
    block = bytearray(image.to_bytes())
    header = nib.Nifti1Header(bytes(block[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    block[:348] = header.binaryblock
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(bytes(block)) if path.suffix == ".gz" else bytes(block))
    return path


def inspect(path, *, case=None, read_all=True):
    """The facts of a file, all of which is read unless told otherwise."""
    with open_nifti(path, case) as reader:
        for _ in reader.chunks(1 << 20) if read_all else ():
            pass
        return reader.facts


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_facts(tmp_path, name):
    facts = inspect(_save(tmp_path / name))
    assert facts.shape == (3, 4, 5)
    assert facts.dtype == "int16"
    assert facts.spacing_mm == pytest.approx((3, 0.75, 0.5))
    assert facts.orientation == "IPL"
    assert np.array_equal(facts.affine, _AFFINE)
    assert facts.voxel_ml == pytest.approx(3 * 0.75 * 0.5 / 1000)
    assert hash(facts)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dim": [4, 3, 4, 5, 2, 1, 1, 1]}, "3 axes"),
        ({"dim": [3, 3, 0, 5, 1, 1, 1, 1]}, "3 axes"),
        ({"pixdim": [1, 3, 0, 0.5, 1, 1, 1, 1]}, "spacing above 0"),
        ({"pixdim": [1, 3, -1, 0.5, 1, 1, 1, 1]}, "spacing above 0"),
        ({"pixdim": [1, 3, np.nan, 0.5, 1, 1, 1, 1]}, "spacing above 0"),
        ({"srow_x": [0, 0, np.nan, 0]}, "finite affine"),
        ({"srow_y": [0, np.inf, 0, 0]}, "finite affine"),
        ({"srow_x": [0, 0, 0, 0]}, "inverted"),
        ({"datatype": 32}, "voxels of up to 64 bits"),
        ({"datatype": 77}, "known voxel type"),
        ({"xyzt_units": 1}, "millimetres"),
        ({"scl_slope": np.inf}, "finite scl_slope"),
        ({"magic": b"ni1"}, "data in it"),
        ({"vox_offset": 1e9}, "soon after the header"),
        ({"vox_offset": np.nan}, "soon after the header"),
        ({"vox_offset": np.inf}, "soon after the header"),
        ({"vox_offset": -np.inf}, "soon after the header"),
        ({"dim": [3, 20000, 20000, 20000, 1, 1, 1, 1]}, "too short for them"),
        ({"dim": [-3, 3, 4, 5, 1, 1, 1, 1]}, "3 axes"),
    ],
)
def test_wrong_headers_name_the_case_and_the_reason(tmp_path, fields, message):
    path = _save(tmp_path / "case_00042" / "imaging.nii.gz", **fields)
    with pytest.raises(CaseError, match=message) as caught:
        inspect(path)
    assert caught.value.case == "case_00042"
    assert "imaging.nii.gz" in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"<!doctype html>", b"hello world" * 50, b"\x5c\x01\0\0", gzip.compress(b"", mtime=0)]
)
def test_what_is_no_nifti(tmp_path, content):
    (tmp_path / "x.nii.gz").write_bytes(content)
    with pytest.raises(CaseError, match="a NIfTI file"):
        inspect(tmp_path / "x.nii.gz", case="case_00001")


def test_a_nifti_2_file_that_was_copied_as_text(tmp_path):
    content = bytearray(nib.Nifti2Image(np.zeros((3, 4, 5), np.int16), _AFFINE).to_bytes())
    (tmp_path / "a.nii").write_bytes(content)
    assert inspect(tmp_path / "a.nii").shape == (3, 4, 5)
    content[8:12] = b"\n\n\x1a\n"
    (tmp_path / "a.nii").write_bytes(content)
    with pytest.raises(CaseError, match="copied byte by byte"):
        inspect(tmp_path / "a.nii")


def test_missing_data_wrong_checksums_and_trailing_bytes(tmp_path):
    rng = np.random.default_rng(0)
    good = _save(tmp_path / "g.nii.gz", rng.integers(-999, 999, (9, 9, 9)).astype(np.int16)).read_bytes()
    plain = gzip.decompress(good)
    wrong = {
        "cut archive": good[: len(good) // 2],
        "cut data": gzip.compress(plain[:-2]),
        "flipped": good[:-6] + bytes([good[-6] ^ 1]) + good[-5:],
        "more": gzip.compress(plain + b"\0"),
        "plain cut": plain[:-1],
    }
    for name, content in wrong.items():
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(CaseError, match=r"voxels|checksum"):
            inspect(tmp_path / "x", case=name)
    (tmp_path / "x").write_bytes(wrong["cut data"])
    assert inspect(tmp_path / "x", read_all=False).shape == (9, 9, 9)


def test_a_file_that_unpacks_without_end_is_left_at_once(tmp_path):
    head = gzip.decompress(_save(tmp_path / "g.nii.gz").read_bytes())
    with gzip.open(tmp_path / "bomb.nii.gz", "wb") as file:
        file.write(head)
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(CaseError, match="after the last voxel"):
        inspect(tmp_path / "bomb.nii.gz")


def test_pairs_must_share_a_grid(tmp_path):
    image = inspect(_save(tmp_path / "a.nii"))
    check_pair("case_00001", image, image)
    other = inspect(_save(tmp_path / "b.nii", np.zeros((3, 4, 6), np.uint8)))
    with pytest.raises(CaseError, match=r"case_00001: .*\(3, 4, 5\) and \(3, 4, 6\)"):
        check_pair("case_00001", image, other)
    moved = _AFFINE.copy()
    moved[0, 3] += 0.2
    with pytest.raises(CaseError, match=r"0\.20 mm apart"):
        check_pair("case_00001", image, inspect(_save(tmp_path / "c.nii", affine=moved)))
    nearly = _AFFINE.copy()
    nearly[0, 3] += 0.001
    check_pair("case_00001", image, inspect(_save(tmp_path / "d.nii", affine=nearly)))


def test_label_volumes(tmp_path):
    labels = np.zeros((3, 4, 5), np.uint8)
    labels[0, 0] = Label.KIDNEY
    labels[1, 1, :2] = Label.TUMOR
    source = _save(tmp_path / "s.nii.gz", labels)
    kidney, tumor, cyst = convert_segmentation(source, tmp_path / "t.nii").volumes[1:]
    assert (kidney.label, kidney.voxels, tumor.voxels, cyst.voxels) == (Label.KIDNEY, 5, 2, 0)
    assert tumor.ml == pytest.approx(2 * 3 * 0.75 * 0.5 / 1000)


@pytest.mark.parametrize("value", [4, -1, 1.5, 0.985, 1.011, np.nan, np.inf])
def test_wrong_labels_are_named(tmp_path, value):
    labels = np.zeros((3, 4, 5), np.float32)
    labels[0, 0, 0] = value
    source = _save(tmp_path / "s.nii.gz", labels)
    with pytest.raises(CaseError, match=rf"case_00003: expected labels 0, 1, 2 and 3 .* also .*{str(value)[:4]}"):
        convert_segmentation(source, tmp_path / "t.nii", case="case_00003")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_labels_that_are_nearly_whole_are_rounded_and_that_is_said(tmp_path, dtype):
    labels = np.arange(60).reshape(3, 4, 5) % 4
    source = _save(tmp_path / "s.nii.gz", (labels * 0.9975).astype(dtype))
    converted = convert_segmentation(source, tmp_path / "t.nii")
    assert np.array_equal(np.asarray(nib.load(tmp_path / "t.nii").dataobj), labels)
    assert [volume.voxels for volume in converted.volumes] == [15, 15, 15, 15]
    assert converted.notes == ("labels that were nearly whole numbers were rounded",)
    assert convert_segmentation(_save(tmp_path / "w.nii", labels.astype(dtype)), tmp_path / "t.nii").notes == ()


def test_a_scan_of_three_slices_is_none():
    check_shape("case_00001", (8, 512, 512))
    with pytest.raises(CaseError, match=r"case_00001: expected a scan of at least 8 slices, got \(512, 512, 3\)"):
        check_shape("case_00001", (512, 512, 3))


def test_labels_with_a_scale_factor(tmp_path):
    labels = (np.arange(60, dtype=np.int16) % 4).reshape(3, 4, 5)
    source = _save(tmp_path / "s.nii.gz", labels * 1000, scl_slope=0.000998, scl_inter=0.001)
    loaded = load_labels(source, case="a", next_step="mend it")
    assert loaded.labels.dtype == np.uint8
    assert np.array_equal(loaded.labels, labels)
    assert loaded.notes


def test_real_files():
    scan = _SHARED / "ct" / "abdomen_3mm.nii.gz"
    mask = _SHARED / "kits23" / "dataset" / "case_00010" / "segmentation.nii.gz"
    if not scan.is_file() or not mask.is_file():
        pytest.skip(f"needs the real files at {_SHARED}")
    assert inspect(scan).orientation == "RAS"
    assert inspect(mask).orientation == "IPL"
    labels = load_labels(mask, case="case_00010", next_step="").labels
    assert np.bincount(labels.ravel(), minlength=4)[1:].tolist() == [199386, 8652, 0]


@pytest.mark.parametrize(
    ("hu_min", "p75", "p99_5"),
    [
        (-1024, 60, 600),  # an abdomen
        (-3024, -1000, 900),  # with padding outside a round field of view, and much air
        (-400, 90, 400),  # cut close, some air in the bowel
    ],
)
def test_a_ct_has_plausible_values(hu_min, p75, p99_5):
    check_hounsfield("case_00001", hu_min, {"p75": p75, "p99.5": p99_5})


@pytest.mark.parametrize(
    ("hu_min", "p75", "p99_5"),
    [
        (0, 0.4, 1.0),  # a normalised image
        (-160, 60, 240),  # clipped to a window
        (0, 1084, 1700),  # stored without its offset of -1024
        (-976, 1084, 1700),  # the same, with padding of -2000
        (-1024, -1024, -1000),  # nothing but air
    ],
)
def test_values_that_are_no_hounsfield_units_are_refused(hu_min, p75, p99_5):
    with pytest.raises(CaseError, match=r"case_00001: expected a CT in HU.*export the scan in HU"):
        check_hounsfield("case_00001", hu_min, {"p75": p75, "p99.5": p99_5})
