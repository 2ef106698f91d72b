from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from kits_core.errors import CaseError
from kits_core.geometry import Volume
from kits_core.label_map import LabelMap
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan
from kits_core.structures import read_mask

SHAPE, AFFINE = (14, 12, 10), np.array([[-0.8, 0, 0, 60], [0, 0.9, 0, -40], [0, 0, 2.5, -300], [0, 0, 0, 1.0]])


@pytest.fixture
def scan(tmp_path):
    """A NIfTI scan and its volume."""
    hu = np.random.default_rng(1).normal(40, 20, SHAPE).astype(np.int16)
    hu[:2] = -1000
    nib.save(nib.Nifti1Image(hu, AFFINE), tmp_path / "ct.nii.gz")
    found = find_scans([tmp_path / "ct.nii.gz"]).scans[0]
    return found, read_scan(found).volume


def _labels(values=(1, 2, 3)):
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:8, 3:9, 1:7], labels[3:5, 4:7, 2:4], labels[9, 10, 8] = values
    return labels


def _turned(data, affine, order, flips):
    data, affine = data.transpose(order), affine[:, [*order, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:, 3] += affine[:, axis] * (data.shape[axis] - 1)
            affine[:, axis] *= -1
            data = np.flip(data, axis)
    return np.ascontiguousarray(data), affine


def _save(path, data, affine, **metadata):
    """As NIfTI, or as NRRD with metadata, by SimpleITK."""
    if path.name.endswith((".nii", ".nii.gz")):
        nib.save(nib.Nifti1Image(data, affine), path)
        return path
    lps = np.diag([-1.0, -1, 1, 1]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = SimpleITK.GetImageFromArray(np.moveaxis(data, (0, 1, 2), (2, 1, 0)), isVector=data.ndim == 4)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lps[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    for key, value in metadata.items():
        image.SetMetaData(key, value)
    SimpleITK.WriteImage(image, str(path), useCompression=True)
    return path


def _read(path, scan, names):
    found, volume = scan
    return read_mask(path, found, volume, names)


def _segments(*named):
    """Slicer's names: (name, value) or (name, value, layer) each."""
    metadata = {}
    for number, (name, value, *layer) in enumerate(named):
        metadata |= {f"Segment{number}_Name": name, f"Segment{number}_LabelValue": str(value)}
        metadata |= {f"Segment{number}_Layer": str(layer[0])} if layer else {}
    return metadata


@pytest.mark.parametrize("name", ["m.nii.gz", "m.nrrd"])
def test_every_layout_of_a_mask_comes_onto_the_scans_voxels(tmp_path, scan, name):
    for order, flips in product(permutations(range(3)), product((False, True), repeat=3)):
        path = _save(tmp_path / name, *_turned(_labels(), AFFINE, order, flips))
        found = _read(path, scan, LabelMap())
        assert np.array_equal(found.volume.data, _labels()), (order, flips)
        assert found.volume.data.dtype == np.uint8
        assert found.notes == ()


@pytest.mark.parametrize("name", ["m.nii.gz", "m.seg.nrrd"])
def test_a_mask_of_a_part_of_the_scan_and_one_that_reaches_beyond(tmp_path, scan, name):
    part, moved = _labels()[1:11, 2:, :9], AFFINE.copy()
    moved[:3, 3] = (AFFINE @ [1, 2, 0, 1])[:3]
    found = _read(_save(tmp_path / name, part, moved), scan, LabelMap())
    assert np.array_equal(found.volume.data, _labels())
    wide, further = np.pad(_labels(), ((3, 0), (0, 0), (0, 4))), AFFINE.copy()
    wide[0, 0, 0] = 1
    further[:3, 3] = (AFFINE @ [-3, 0, 0, 1])[:3]
    found = _read(_save(tmp_path / name, wide, further), scan, LabelMap())
    assert np.array_equal(found.volume.data, _labels())
    assert found.notes == (f"{name} reaches beyond the scan",)


@pytest.mark.parametrize("shift", [0.3, 0.5])
def test_voxels_that_lie_elsewhere_are_refused(tmp_path, scan, shift):
    moved = AFFINE.copy()
    moved[0, 3] += shift * 0.8
    fine = AFFINE @ np.diag([0.5, 1, 1, 1.0])
    for path in (_save(tmp_path / "a.nii", _labels(), moved), _save(tmp_path / "b.nrrd", _labels(), fine)):
        with pytest.raises(
            CaseError, match=r"ct: expected .* on the scan's voxels, 14 x 12 x 10 voxels of 0\.8 x 0\.9"
        ):
            _read(path, scan, LabelMap())


def test_a_mask_that_lies_beside_the_scan_altogether_is_refused(tmp_path, scan):
    moved = AFFINE.copy()
    moved[:3, 3] = (AFFINE @ [100, 0, 0, 1])[:3]
    with pytest.raises(CaseError, match=r"a kidney, tumour or cyst of m\.nii in the scan, got none"):
        _read(_save(tmp_path / "m.nii", _labels(), moved), scan, LabelMap())


@pytest.mark.parametrize("name", ["m.nii.gz", "m.nrrd"])
def test_values_are_kits_s_unless_they_are_named(tmp_path, scan, name):
    path = _save(tmp_path / name, _labels((4, 2, 9)), AFFINE)
    names = LabelMap.parse(["4=kidney", "*=background"])
    found = _read(path, scan, names)
    expected = _labels((1, 2, 0))
    assert np.array_equal(found.volume.data, expected)
    assert {value: label.name for value, label in found.meanings.items()} == {
        "2": "TUMOR", "4": "KIDNEY", "9": "BACKGROUND",
    }  # fmt: skip
    with pytest.raises(CaseError, match=r"also 9; say what each is with --label \"VALUE="):
        _read(path, scan, LabelMap.parse(["4=kidney"]))
    with pytest.raises(CaseError, match=r"--label \"VALUE="):
        _read(path, scan, LabelMap())


def test_segments_of_3d_slicer_are_mapped_by_name(tmp_path, scan):
    labels = _labels((5, 7, 9))
    told = _segments(("Left kidney", 5), ("Renal mass", 7), ("Cyst", 9), ("empty", 11))
    path = _save(tmp_path / "m.seg.nrrd", labels, AFFINE, **told)
    found = _read(path, scan, LabelMap.parse(["renal mass=tumor"]))
    assert np.array_equal(found.volume.data, _labels())
    assert found.notes == ("nothing of 'empty' lies in the scan",)
    with pytest.raises(CaseError, match="also 'Renal mass'"):
        _read(path, scan, LabelMap())


def test_segments_that_overlap_lie_in_layers(tmp_path, scan):
    kidney, tumor = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    kidney[2:9, 2:9, 2:7], tumor[5:12, 5:10, 3:9] = 1, 1
    layers = np.stack([kidney, tumor], axis=-1)
    path = _save(tmp_path / "m.seg.nrrd", layers, AFFINE, **_segments(("tumor", 1, 1), ("kidney", 1, 0)))
    found = _read(path, scan, LabelMap())
    assert np.array_equal(found.volume.data, np.where(tumor == 1, 2, kidney))
    broken = _save(tmp_path / "n.seg.nrrd", kidney, AFFINE, **_segments(("kidney", 1, 3)))
    with pytest.raises(CaseError, match=r"segments in one of 1 layers in n\.seg\.nrrd, got 'kidney' in another"):
        _read(broken, scan, LabelMap())


def test_dicom_is_read_by_its_content(tmp_path, series, helpers):
    masks = helpers.masks()
    for path in (
        series.seg(tmp_path / "1-1", masks),
        series.rtstruct(tmp_path / "rs", {name: series.outlines(mask) for name, mask in masks.items()}),
    ):
        found = read_mask(path, series.scan, read_scan(series.scan).volume, LabelMap())
        assert np.array_equal(found.volume.data == 2, masks["Tumour"])


def test_a_nifti_mask_of_a_dicom_series_comes_onto_its_slices(tmp_path, series):
    volume = read_scan(series.scan).volume
    labels = np.zeros(volume.shape, np.uint8)
    labels[4:9, 3:8, 2:7], labels[5, 5, 5] = 1, 2
    path = _save(tmp_path / "m.nii.gz", *_turned(labels, volume.affine, (0, 1, 2), (False, True, False)))
    assert np.array_equal(read_mask(path, series.scan, volume, LabelMap()).volume.data, labels)


def test_what_is_no_mask_is_refused(tmp_path, scan):
    (tmp_path / "text.txt").write_text("no mask at all")
    (tmp_path / "broken.nrrd").write_bytes(b"NRRD0004\ntype: short\n")
    (tmp_path / "broken.nii.gz").write_bytes(b"\x1f\x8b nothing")
    for name, words in (
        ("text.txt", "got a file of another kind; name the file"),
        ("none.dcm", "got nothing at this path"),
        ("", "got a folder"),
        ("none.nii", "to read"),
        ("broken.nrrd", "a NRRD that can be read"),
        ("broken.nii.gz", "ct: expected"),
    ):
        with pytest.raises(CaseError) as error:
            read_mask(tmp_path / name, scan[0], Volume(np.zeros(SHAPE, np.int16), AFFINE), LabelMap())
        assert words in str(error.value)
