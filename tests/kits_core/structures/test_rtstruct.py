import numpy as np
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from kits_core.errors import CaseError
from kits_core.scan.dicom import stack_of
from kits_core.scan.read import read_scan
from kits_core.scan.tilt import slices_of
from kits_core.structures import describe, read_structures


def _found(structures, shape=(24, 20, 12)):
    return {one.name: one.on(shape) for one in structures.structures}


@pytest.mark.parametrize("way", ["axial", "feet first", "oblique", "tilted"])
def test_outlines_with_holes_and_islands_come_back_as_their_masks(tmp_path, make_series, helpers, way):
    series = make_series(helpers.affines[way])
    masks = helpers.masks()
    drawn = {name: series.outlines(mask) for name, mask in masks.items()}
    structures = read_structures(series.rtstruct(tmp_path / "rs.dcm", drawn), series.scan)
    stack = stack_of(series.scan)
    ascending = series.slices[0].SOPInstanceUID == stack.slices[0].instance
    for name, mask in _found(structures, read_scan(series.scan).volume.shape).items():
        stored = np.stack([part.T for part in slices_of(mask.astype(np.uint8), stack)], axis=-1)
        assert np.array_equal(stored, masks[name] if ascending else masks[name][:, :, ::-1]), name
    assert structures.notes == ()


def test_a_keyhole_comes_back_as_a_hole(tmp_path, series, helpers):
    outer = [(2.6, 2.6), (2.6, 14.4), (15.4, 14.4), (15.4, 2.6)]
    inner = [(5.6, 5.6), (5.6, 11.4), (12.4, 11.4), (12.4, 5.6)]
    keyhole = np.array([*outer, outer[0], *inner[::-1], inner[-1], outer[0]])
    mask = np.zeros((24, 20, 12), bool)
    mask[3:16, 3:15, 4:6], mask[6:13, 6:12, 4:6] = True, False
    drawn = [("CLOSED_PLANAR", series.place(np.c_[keyhole, np.full(len(keyhole), k)])) for k in (4, 5)]
    found = _found(read_structures(series.rtstruct(tmp_path / "rs.dcm", {"kidney": drawn}), series.scan))
    assert helpers.dice(found["kidney"], mask) == 1


def _square(series, k, low=4, high=9, kind="CLOSED_PLANAR"):
    points = [
        (low - 0.4, low - 0.4, k),
        (low - 0.4, high + 0.4, k),
        (high + 0.4, high + 0.4, k),
        (high + 0.4, low - 0.4, k),
    ]
    return kind, series.place(np.array(points))


def test_xor_contours_are_read_as_their_name_says(tmp_path, series):
    kind = "CLOSEDPLANAR_XOR"
    drawn = [_square(series, 3, 2, 12, kind), _square(series, 3, 5, 8, kind)]
    found = _found(read_structures(series.rtstruct(tmp_path / "rs.dcm", {"kidney": drawn}), series.scan))["kidney"]
    assert found.sum() == 11**2 - 4**2
    assert found[:, :, 3].sum() == found.sum()


def test_points_open_repeated_and_far_contours_are_passed_over_with_a_note(tmp_path, series):
    drawn = {
        "kidney": [
            *(_square(series, k) for k in (3, 3, 4, 7, 40)),
            ("POINT", series.place(np.array([(5, 5, 5)]))),
            ("OPEN_PLANAR", _square(series, 5)[1]),
            ("CLOSED_PLANAR", _square(series, 5)[1][:2]),
        ],
        "empty": [],
    }
    structures = read_structures(series.rtstruct(tmp_path / "rs.dcm", drawn), series.scan)
    found = _found(structures)["kidney"]
    assert np.flatnonzero(found.any(axis=(0, 1))).tolist() == [3, 4, 7]
    assert found.sum() == 3 * 36
    assert structures.notes == (
        "nothing of 'empty' lies in the scan",
        "kidney: 1 contours of fewer than three points passed over",
        "kidney: 1 contours of type OPEN_PLANAR passed over",
        "kidney: 1 contours of type POINT passed over",
        "kidney: 1 contours outside of the scan passed over",
        "kidney: 1 repeated contours passed over",
        "kidney: 2 slices without a contour between others stay empty",
    )
    assert structures.left_out == ("empty",)


@pytest.mark.parametrize(("off", "taken"), [(0.15, True), (-0.15, True), (0.3, False), (0.5, False)])
def test_a_contour_may_lie_off_its_slice_by_what_rounding_does_and_no_more(tmp_path, series, off, taken):
    path = series.rtstruct(tmp_path / "rs.dcm", {"kidney": [_square(series, 6 + off)]})
    if taken:
        assert np.flatnonzero(_found(read_structures(path, series.scan))["kidney"].any(axis=(0, 1))).tolist() == [6]
    else:
        with pytest.raises(CaseError, match=rf"on the slices of the scan, got .* {off:.2f} slices off"):
            read_structures(path, series.scan)


def test_a_contour_across_slices_is_refused(tmp_path, series):
    points = series.place(np.array([(4, 4, 3), (4, 9, 3), (9, 9, 6)]))
    path = series.rtstruct(tmp_path / "rs.dcm", {"kidney": [("CLOSED_PLANAR", points)]})
    with pytest.raises(CaseError, match="on the slices of the scan"):
        read_structures(path, series.scan)


def test_names_and_references_are_told_without_reading_contours(tmp_path, series):
    path = series.rtstruct(tmp_path / "rs.dcm", {" Kidney L ": [_square(series, 3)], "": [_square(series, 4)]})
    said, first = describe(path), series.slices[0]
    assert (said.kind, said.names) == ("rtstruct", ("Kidney L", "ROI 2"))
    assert said.reference.series == (first.SeriesInstanceUID,)
    assert said.reference.study == first.StudyInstanceUID
    assert said.reference.frames_of_reference == (first.FrameOfReferenceUID,)


def _coordinate(value):
    def change(data):
        data.ROIContourSequence[0].ContourSequence[0].ContourData = value

    return change


def _other_frame(data):
    data.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_coordinate(["1", "2", "3", "4"]), "a contour of 'kidney' with 4 coordinates, or not finite ones"),
        (_coordinate(["1e999"] * 9), "a contour of 'kidney' with 9 coordinates, or not finite ones"),
        (lambda data: delattr(data, "ROIContourSequence"), "got no contours"),
        (_other_frame, "'kidney' of rs.dcm in the frame of reference of the scan, got 1.2.3"),
    ],
)
def test_a_broken_file_is_refused_with_the_reason(tmp_path, series, change, words):
    path = series.rtstruct(tmp_path / "rs.dcm", {"kidney": [_square(series, 3)]}, change=change)
    with pytest.raises(CaseError) as error:
        read_structures(path, series.scan)
    assert str(error.value).startswith("ct: expected ")
    assert words in str(error.value)


@pytest.mark.parametrize("implicit", [False, True])
def test_a_file_cut_off_is_refused_unless_all_contours_are_there(tmp_path, series, helpers, implicit):
    def change(data):
        if implicit:
            data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    masks = helpers.masks()
    drawn = {name: series.outlines(mask) for name, mask in masks.items()}
    path = series.rtstruct(tmp_path / "rs.dcm", drawn, change=change)
    whole, refused = path.read_bytes(), 0
    for size in range(0, len(whole), 61):
        path.write_bytes(whole[:size])
        try:
            found = _found(read_structures(path, series.scan))
        except CaseError:
            refused += 1
        else:
            assert all(np.array_equal(found[name], masks[name]) for name in masks)
    assert refused > 0.9 * len(whole) / 61


def test_a_file_that_ends_between_two_structures_does_not_pass_for_a_whole_one(tmp_path, series):
    drawn = {name: [_square(series, k)] for k, name in enumerate(("kidney", "tumor", "cyst"), start=3)}
    path = series.rtstruct(tmp_path / "rs.dcm", drawn)
    whole = path.read_bytes()
    for size in range(whole.index(b"CLOSED_PLANAR"), len(whole)):
        path.write_bytes(whole[:size])
        try:
            found = read_structures(path, series.scan)
        except CaseError:
            continue
        assert [one.voxels for one in found.structures] == [36, 36, 36]
