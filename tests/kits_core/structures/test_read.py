import nibabel as nib
import numpy as np
import pytest
from pydicom.uid import generate_uid

from kits_core.errors import CaseError
from kits_core.label_map import LabelMap
from kits_core.labels import Label
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan
from kits_core.structures import describe, labels_of, read_labels, read_structures


@pytest.fixture(params=["seg", "rtstruct"])
def write(request, tmp_path):
    """Writes masks of a series as SEG or as RTSTRUCT."""

    def write(series, masks, change=None):
        path = tmp_path / f"{request.param}.dcm"
        if request.param == "seg":
            return series.seg(path, masks, change=change)
        return series.rtstruct(path, {name: series.outlines(mask) for name, mask in masks.items()}, change=change)

    return write


def test_structures_become_labels_and_a_tumour_comes_before_cyst_and_kidney(write, series):
    box = {name: np.zeros((24, 20, 12), bool) for name in ("tumor", "Left Kidney", "renal cyst", "liver")}
    box["tumor"][8:12, 8:12, 4:6] = True
    box["renal cyst"][6:10, 6:12, 4:6] = True
    box["Left Kidney"][4:14, 4:14, 3:8] = True
    box["liver"][0:20, 0:18, 1:9] = True
    found = read_labels(write(series, box), series.scan, LabelMap.of({"Liver": "background"}))
    expected = np.zeros((24, 20, 12), np.uint8)
    expected[box["Left Kidney"]] = Label.KIDNEY
    expected[box["renal cyst"]] = Label.CYST
    expected[box["tumor"]] = Label.TUMOR
    assert found.volume.data.dtype == np.uint8
    assert np.array_equal(found.volume.data, expected)
    np.testing.assert_array_equal(found.volume.affine, read_scan(series.scan).volume.affine)


def test_a_name_that_means_nothing_is_refused_with_all_such_names_and_the_way_out(write, series, helpers):
    masks = helpers.masks()
    path = write(series, {"kidney": masks["Kidney"], "ROI-3": masks["Tumour"], "renal mass": masks["Tumour"]})
    with pytest.raises(CaseError, match=r"ct: .*also 'ROI-3', 'renal mass' .*--label \"NAME=kidney\|tumor"):
        read_labels(path, series.scan, LabelMap())
    found = read_labels(path, series.scan, LabelMap.parse(["roi 3=tumor", "*=background"]))
    assert np.array_equal(found.volume.data == 2, masks["Tumour"])


def test_an_empty_structure_needs_no_meaning(write, series, helpers):
    kidney = helpers.masks()["Kidney"]
    path = write(series, {"kidney": kidney, "?": np.zeros_like(kidney)})
    found = read_labels(path, series.scan, LabelMap())
    assert np.array_equal(found.volume.data > 0, kidney)
    assert found.notes == ("nothing of '?' lies in the scan",)


def test_names_are_asked_for_before_anything_is_read(write, series, helpers):
    def spoil(data):
        if data.Modality == "SEG":
            del data.PixelData
        else:
            data.ROIContourSequence[0].ContourSequence[0].ContourData = ["1"]

    path = write(series, {"body": helpers.masks()["Kidney"], "kidney": helpers.masks()["Tumour"]}, change=spoil)
    with pytest.raises(CaseError, match="also 'body'"):
        read_labels(path, series.scan, LabelMap())


def test_a_threshold_that_is_none_is_refused(write, series, helpers):
    path = write(series, helpers.masks())
    for threshold in (0, 1.2):
        with pytest.raises(ValueError, match="above 0 and is at most 1"):
            read_structures(path, series.scan, threshold=threshold)


def test_structures_that_are_all_background_are_refused(write, series, helpers):
    path = write(series, {"liver": helpers.masks()["Kidney"]})
    names = LabelMap.parse(["liver=background"])
    with pytest.raises(CaseError, match="a kidney, tumour or cyst among the structures"):
        read_labels(path, series.scan, names)
    with pytest.raises(CaseError, match="among the structures, got 'liver'"):
        labels_of("ct", read_structures(path, series.scan), names)


def _references(series=None, frame=None):
    """What makes a file refer elsewhere; an empty text takes the reference away."""

    def change(data):
        if data.Modality == "SEG":
            if series is not None:
                data.ReferencedSeriesSequence[0].SeriesInstanceUID = series
            if frame is not None:
                data.FrameOfReferenceUID = frame
            return
        item = data.ReferencedFrameOfReferenceSequence[0]
        if series is not None:
            item.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0].SeriesInstanceUID = series
        if frame is not None:
            item.FrameOfReferenceUID = frame
            for region in data.StructureSetROISequence:
                region.ReferencedFrameOfReferenceUID = frame

    return change


def test_a_file_of_another_series_is_refused_unless_that_is_asked_for(write, series, helpers):
    other = generate_uid()
    path = write(series, helpers.masks(), change=_references(series=other))
    with pytest.raises(CaseError, match=rf"drawn on the series {series.scan.series_uid}, got one drawn on {other}"):
        read_structures(path, series.scan)
    found = read_structures(path, series.scan, other_series=True)
    assert np.array_equal(found.structures[0].on(found.shape), helpers.masks()["Kidney"])
    assert "was drawn on another series of the same frame of reference" in found.notes[0]


def test_a_file_in_another_frame_of_reference_is_refused_always(write, series, helpers):
    path = write(series, helpers.masks(), change=_references(frame="1.2.3"))
    for other_series in (False, True):
        with pytest.raises(CaseError, match=r"in the frame of reference of the scan, .*, got 1\.2\.3; give the series"):
            read_structures(path, series.scan, other_series=other_series)


def test_one_of_the_two_references_is_enough_and_none_is_not(write, series, helpers):
    for change, note in (
        (_references(series=""), "names no series: it was placed by its frame of reference"),
        (_references(frame=""), "names the series, but no frame of reference is known"),
    ):
        found = read_structures(write(series, helpers.masks(), change=change), series.scan)
        assert note in found.notes[0]
        assert np.array_equal(found.structures[0].on(found.shape), helpers.masks()["Kidney"])
    path = write(series, helpers.masks(), change=_references(series="", frame=""))
    with pytest.raises(CaseError, match="got one drawn on a series that it does not name"):
        read_structures(path, series.scan)


def test_what_lies_outside_of_the_scan_altogether_is_refused(write, series, helpers):
    def far(data):
        if data.Modality == "SEG":
            for frame in data.PerFrameFunctionalGroupsSequence:
                x, y, z = frame.PlanePositionSequence[0].ImagePositionPatient
                frame.PlanePositionSequence[0].ImagePositionPatient = [float(x) + 500, float(y), float(z)]
            return
        for item in data.ROIContourSequence:
            for contour in item.ContourSequence:
                points = np.array(contour.ContourData, float).reshape(-1, 3) + np.array([500, 0, 0])
                contour.ContourData = [f"{value:.3f}" for value in points.ravel()]

    path = write(series, helpers.masks(), change=far)
    with pytest.raises(CaseError, match="nothing of 'Kidney', 'Tumour' in it; give the series"):
        read_structures(path, series.scan)


def test_a_nifti_scan_and_files_of_other_kinds_are_refused(tmp_path, write, series, helpers):
    path = write(series, helpers.masks())
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.int16), np.eye(4)), tmp_path / "n.nii")
    with pytest.raises(CaseError, match="n: expected the DICOM series that the structures were drawn on, got a NIfTI"):
        read_structures(path, find_scans([tmp_path / "n.nii"]).scans[0])
    for other, words in (
        (series.scan.files[0], "got CT data"),
        (tmp_path / "n.nii", "a DICOM SEG or RTSTRUCT in n.nii"),
    ):
        with pytest.raises(CaseError) as error:
            read_structures(other, series.scan)
        assert words in str(error.value)
        with pytest.raises(CaseError) as error:
            describe(other)
        assert words in str(error.value)
    with pytest.raises(CaseError, match="No such file"):
        describe(tmp_path / "none.dcm")


def test_random_damage_ends_in_a_reason_or_in_structures(write, series, helpers):
    path = write(series, helpers.masks())
    whole, rng = path.read_bytes(), np.random.default_rng(11)
    outcomes = set()
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(132, len(whole), 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            found = read_structures(path, series.scan)
        except CaseError:
            outcomes.add("refused")
        else:
            assert found.shape == (24, 20, 12)
            outcomes.add("read")
    assert outcomes == {"refused", "read"}


@pytest.mark.parametrize("case", ["case_00010", "case_00588"])
def test_real_masks_come_back(make_series, write, helpers, real_masks, case):
    image = nib.load(real_masks / case / "segmentation.nii.gz")
    data = np.asanyarray(image.dataobj).astype(np.uint8).transpose(2, 1, 0)  # the official files have slices first
    affine = image.affine[:, [2, 1, 0, 3]]
    hits = [np.flatnonzero((data > 0).any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    low = np.array([max(0, part[0] - 3) for part in hits])
    high = np.array([part[-1] + 4 for part in hits])
    high[2] = min(high[2], low[2] + 40)
    part = data[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    affine = affine @ np.block([[np.eye(3), low[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]])
    series = make_series(affine, shape=part.shape)
    named = {"kidney": part > 0, "tumor": part == Label.TUMOR, "cyst": part == Label.CYST}
    named = {name: mask for name, mask in named.items() if mask.any()}
    found = read_labels(write(series, named), series.scan, LabelMap()).volume
    back = nib.orientations.apply_orientation(
        found.data,
        nib.orientations.ornt_transform(
            nib.orientations.io_orientation(found.affine), nib.orientations.io_orientation(affine)
        ),
    )
    assert helpers.dice(back > 0, part > 0) > 0.999
    for label in Label:
        if (part == label).any():
            assert helpers.dice(back == label, part == label) > 0.999, label
