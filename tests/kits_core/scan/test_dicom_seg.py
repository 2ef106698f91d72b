import highdicom
import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from kits_core.errors import CaseError
from kits_core.labels import Label
from kits_core.scan.dicom_seg import write_dicom_seg
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan

_AFFINE = np.array([[-0.8, 0, 0, 90], [0, -0.7, 0, 60], [0, 0, 3.0, -500], [0, 0, 0, 1.0]])
_OBLIQUE = np.array([[-0.7, 0.1, 0.3, 9], [-0.1, -0.7, 0.4, 5], [0.1, 0, 3.0, -100], [0, 0, 0, 1.0]])


def _labels(shape):
    labels = np.zeros(shape, np.uint8)
    labels[3:9, 5:12, 2:8] = Label.KIDNEY
    labels[4:6, 6:9, 3:5] = Label.TUMOR
    labels[8, 11, 7] = Label.CYST
    return labels


def _scan(path):
    return find_scans([path]).scans[0]


def _orthogonal(affine):
    fixed = affine.copy()
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    row = affine[:3, 0] / spacing[0]
    column = affine[:3, 1] - (affine[:3, 1] @ row) * row
    column /= np.linalg.norm(column)
    fixed[:3, :3] = np.column_stack([row, column, np.cross(row, column)]) * spacing
    return fixed


def _write(path, scan, labels, affine=None):
    affine = read_scan(scan).volume.affine if affine is None else affine
    write_dicom_seg(path, labels, affine, scan, algorithm="kits", version="1.2")


@pytest.mark.parametrize("affine", [_AFFINE, _AFFINE @ np.diag([1, 1, -1, 1.0]), _orthogonal(_OBLIQUE)])
def test_every_slice_refers_to_its_source_and_has_its_mask(tmp_path, dicom, stored, affine):
    slices = list(dicom.slices(stored, affine))
    np.random.default_rng(3).shuffle(slices)
    files = dicom.save(tmp_path / "d", slices)
    scan = _scan(tmp_path / "d")
    volume = read_scan(scan).volume
    labels = _labels(volume.shape)
    _write(tmp_path / "seg.dcm", scan, labels)
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert seg.SegmentationType == "BINARY"
    assert [seg.get_segment_description(n).segment_label for n in (1, 2, 3)] == ["Kidney", "Tumour", "Cyst"]
    codes = [seg.get_segment_description(n).segmented_property_type.value for n in (1, 2, 3)]
    assert codes == ["64033007", "108369006", "367643001"]
    assert {seg.get_segment_description(n).algorithm_type.value for n in (1, 2, 3)} == {"AUTOMATIC"}
    assert seg.get_segment_description(1).segmented_property_category.value == "91723000"
    uids = {}
    for path in files:
        data = dcmread(path)
        lps = np.array([*data.ImagePositionPatient, 1.0]) * [-1, -1, 1, 1]
        uids[round((np.linalg.inv(volume.affine) @ lps)[2])] = data
    assert {uid for _, _, uid in seg.get_source_image_uids()} <= {data.SOPInstanceUID for data in uids.values()}
    sources = [uids[k].SOPInstanceUID for k in range(volume.shape[2])]
    found = seg.get_pixels_by_source_instance(sources, combine_segments=True, assert_missing_frames_are_empty=True)
    assert np.array_equal(found, labels.transpose(2, 1, 0))
    assert (seg.StudyInstanceUID, seg.FrameOfReferenceUID) == (
        slices[0].StudyInstanceUID,
        slices[0].FrameOfReferenceUID,
    )
    # By its own positions, without the references, the segmentation lies in the same place.
    placed = seg.get_volume(combine_segments=True)
    ras = np.diag([-1, -1, 1, 1]) @ placed.affine  # axes (slice, row, column)
    there = nib.affines.apply_affine(ras, np.argwhere(placed.array == Label.TUMOR))
    here = nib.affines.apply_affine(volume.affine, np.argwhere(labels == Label.TUMOR))
    np.testing.assert_allclose(np.sort(there, axis=0), np.sort(here, axis=0), atol=1e-3)


def test_only_what_is_present_is_a_segment(tmp_path, dicom, stored):
    dicom.series(tmp_path / "d", stored, _AFFINE)
    labels = _labels(stored.shape)
    labels[labels == Label.TUMOR] = Label.KIDNEY
    _write(tmp_path / "seg.dcm", _scan(tmp_path / "d"), labels)
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert [seg.get_segment_description(n).segment_label for n in seg.segment_numbers] == ["Kidney", "Cyst"]


def test_anonymised_and_sloppy_headers_do_not_stop_it(tmp_path, dicom, stored):
    slices = list(dicom.slices(stored, _AFFINE))
    for data in slices:
        del data.PatientID, data.PatientBirthDate, data.AccessionNumber, data.StudyID, data.ReferringPhysicianName
    dicom.save(tmp_path / "d", slices)
    _write(tmp_path / "seg.dcm", _scan(tmp_path / "d"), _labels(stored.shape))
    assert highdicom.seg.segread(tmp_path / "seg.dcm").PatientID == ""


def test_headers_that_cannot_be_copied_are_refused(tmp_path, dicom, stored):
    dicom.series(tmp_path / "d", stored, _AFFINE)
    scan = _scan(tmp_path / "d")
    data = dcmread(scan.files[4])
    data.StudyInstanceUID = "1.2.3"
    data.save_as(scan.files[4])
    with pytest.raises(CaseError, match=r"headers that a DICOM SEG can copy, got .*write the labels as NIfTI"):
        _write(tmp_path / "seg.dcm", scan, _labels(stored.shape))


def test_labels_of_a_tilted_scan_go_back_onto_its_slices(tmp_path, dicom):
    stored = dicom.body((30, 26, 16))
    affine = _AFFINE.copy()
    affine[1, 2] = 0.7  # one row a slice, so that nothing is between pixels
    dicom.series(tmp_path / "d", stored, affine)
    scan = _scan(tmp_path / "d")
    volume = read_scan(scan).volume
    assert volume.shape == (30, 26 + 15, 16)
    labels = np.where(volume.data > 20, Label.KIDNEY, Label.BACKGROUND).astype(np.uint8)
    _write(tmp_path / "seg.dcm", scan, labels)
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    found = seg.get_pixels_by_source_instance(
        [dcmread(path).SOPInstanceUID for path in scan.files],
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    assert np.array_equal(found, (stored - 1024 > 20).transpose(2, 1, 0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda labels: labels * 0, "a kidney, tumour or cyst in the labels, got none"),
        (lambda labels: labels + 2, "labels 0, 1, 2 and 3, got also 5"),
        (lambda labels: labels[1:], r"labels of shape \(24, 20, 12\), got \(23, 20, 12\)"),
    ],
)
def test_wrong_labels_are_refused_and_nothing_is_written(tmp_path, dicom, stored, change, words):
    dicom.series(tmp_path / "d", stored, _AFFINE)
    with pytest.raises(CaseError, match=words):
        _write(tmp_path / "seg.dcm", _scan(tmp_path / "d"), change(_labels(stored.shape)))
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_another_place_a_nifti_and_a_series_without_a_frame_are_refused(tmp_path, dicom, stored):
    slices = list(dicom.slices(stored, _AFFINE))
    del slices[2].FrameOfReferenceUID
    dicom.save(tmp_path / "d", slices)
    nib.save(nib.Nifti1Image((stored - 1024).astype(np.int16), _AFFINE), tmp_path / "n.nii")
    moved = _AFFINE.copy()
    moved[0, 3] += 0.5
    with pytest.raises(CaseError, match=r"in the place of the series, got 0\.50 mm apart"):
        _write(tmp_path / "seg.dcm", _scan(tmp_path / "d"), _labels(stored.shape), moved)
    with pytest.raises(CaseError, match=r"FrameOfReferenceUID in every slice.*none in slice_002\.dcm"):
        _write(tmp_path / "seg.dcm", _scan(tmp_path / "d"), _labels(stored.shape))
    with pytest.raises(CaseError, match="a DICOM series to refer to, got a NIfTI file"):
        _write(tmp_path / "seg.dcm", _scan(tmp_path / "n.nii"), _labels(stored.shape))
