import warnings

import highdicom
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from pydicom import DataElement, Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

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
    there = apply_affine(ras, np.argwhere(placed.array == Label.TUMOR))
    here = apply_affine(volume.affine, np.argwhere(labels == Label.TUMOR))
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


_JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"


def _written(folder, dicom, **tags):
    """The SEG of a series with these tags in each slice, and what was mended. Bytes are written as they are."""
    stored = dicom.body()
    with disable_value_validation():
        slices = list(dicom.slices(stored, _AFFINE))
        for data in slices:
            for name, value in tags.items():
                if isinstance(value, bytes):
                    tag = Tag(name)
                    data[tag] = RawDataElement(tag, dictionary_VR(tag), len(value), value, 0, False, True)
                elif isinstance(value, DataElement):
                    data[value.tag] = value
                else:
                    setattr(data, name, value)
        with warnings.catch_warnings(action="ignore"):
            dicom.save(folder / "d", slices)
        scan = _scan(folder / "d")
        volume = read_scan(scan).volume
        labels = _labels(volume.shape)
        notes = write_dicom_seg(folder / "seg.dcm", labels, volume.affine, scan, algorithm="kits", version="1")
        seg = highdicom.seg.segread(folder / "seg.dcm")
        list(seg.iterall())
    sources = [data.SOPInstanceUID for data in slices]
    found = seg.get_pixels_by_source_instance(sources, combine_segments=True, assert_missing_frames_are_empty=True)
    assert np.array_equal(found, labels.transpose(2, 1, 0))
    return seg, notes


@pytest.mark.parametrize(
    ("sets", "name", "written"),
    [
        (["", "ISO 2022 IR 87"], _JAPANESE, "ISO_IR 192"),
        (["ISO 2022 IR 6", "ISO 2022 IR 87"], _JAPANESE, "ISO_IR 192"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동", "ISO_IR 192"),
        ("GB18030", "Wang^XiaoDong=王^小东", "GB18030"),
        ("ISO_IR 100", "Buc^Jérôme", "ISO_IR 100"),
        ("ISO_IR 144", "Люкцем", "ISO_IR 144"),
        ("ISO_IR 192", _JAPANESE, "ISO_IR 192"),
        (b"ISO_IR 999", "Smith^John", "ISO_IR 192"),
        ("", "Smith^John", "ISO_IR 192"),
    ],
)
def test_names_come_over_whatever_their_character_set(tmp_path, dicom, sets, name, written):
    seg, notes = _written(tmp_path, dicom, SpecificCharacterSet=sets, PatientName=name)
    assert str(seg.PatientName) == name
    assert (seg.SpecificCharacterSet, notes) == (written, ())


@pytest.mark.parametrize(("stored_as", "read_as"), [("utf-8", "ISO_IR 192"), ("latin-1", "ISO_IR 100")])
def test_a_name_without_a_character_set_is_read_as_it_most_likely_was_meant(
    tmp_path, dicom, stored, stored_as, read_as
):
    seg, notes = _written(tmp_path, dicom, PatientName="Müller^Jörg".encode(stored_as))
    assert str(seg.PatientName) == "Müller^Jörg"
    assert notes == (f"DICOM SEG: text without a character set is read as {read_as}",)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("PatientBirthDate", "19501399"),
        ("PatientBirthDate", "unknown"),
        ("StudyDate", "2020"),
        ("StudyTime", "99:99:99"),
        ("PatientSex", "W"),
        ("PatientName", DataElement(0x00100010, "US", 7)),
        ("PatientID", DataElement(0x00100020, "FD", 7.5)),
        ("StudyID", DataElement(0x00200010, "SQ", [Dataset()])),
        ("ReferringPhysicianName", DataElement(0x00080090, "DS", "7")),
        ("OtherPatientIDsSequence", DataElement(0x00101002, "OB", b"\x01\x02")),
    ],
)
def test_a_value_that_cannot_be_copied_is_left_empty_and_named_and_never_shown(tmp_path, dicom, tag, value):
    seg, notes = _written(tmp_path, dicom, **{tag: value})
    assert not seg.get(tag)
    assert notes == (f"DICOM SEG: {tag} left empty, as the series' values cannot be copied",)
    other = "PatientName" if tag == "PatientID" else "PatientID"
    assert str(seg[other].value) == {"PatientID": "7", "PatientName": "A^B"}[other]


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        ("PatientName", ["A^B", "C^D"], "A^B"),
        ("PatientID", "x" * 100, "x" * 100),
        ("StudyDate", "2020.01.31", "2020.01.31"),
        ("SliceThickness", b"thick ", None),
        ("SliceThickness", b"nan ", None),
        ("SliceThickness", b"-3", None),
        ("KVP", b"high", None),
        ("PatientWeight", b"eighty", "eighty"),
        ("PatientSize", b"1e999999", "1e999999"),
    ],
)
def test_what_breaks_small_rules_comes_over_as_it_is(tmp_path, dicom, tag, value, expected):
    seg, notes = _written(tmp_path, dicom, **{tag: value})
    assert notes == ()
    if expected is not None:
        assert seg[tag].value == expected
    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert float(measures.SliceThickness) == pytest.approx(3.0)


def test_where_all_else_fails_the_patient_is_named_by_id_and_name(tmp_path, dicom, monkeypatch):
    monkeypatch.setattr("kits_core.scan.source_headers._sound", lambda whole, tag: whole[tag])
    seg, notes = _written(tmp_path, dicom, PatientBirthDate="19501399", PatientSex="W")
    assert (seg.PatientID, str(seg.PatientName), seg.PatientBirthDate, seg.PatientSex) == ("7", "A^B", "", "")
    assert notes == ("DICOM SEG: of patient and study, only id and name could be copied from the series",)


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
