import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from kits_core.errors import CaseError
from kits_core.scan.dicom import stack_of
from kits_core.scan.dicom_seg import write_dicom_seg
from kits_core.scan.read import read_scan
from kits_core.scan.tilt import slices_of
from kits_core.structures import read_structures


def _found(structures, shape):
    return {one.name: one.on(shape) for one in structures.structures}


def _stored(scan, mask):
    """A mask on the read grid, on the slices as stored."""
    parts = slices_of(mask.astype(np.uint8), stack_of(scan))
    return np.stack([part.T for part in parts], axis=-1).astype(bool)


def _ascending(series, mask):
    """A mask on the slices as they were written, in the order in which the scan is read."""
    return mask if series.slices[0].SOPInstanceUID == stack_of(series.scan).slices[0].instance else mask[:, :, ::-1]


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
@pytest.mark.parametrize("way", ["axial", "feet first", "oblique", "tilted"])
def test_what_was_drawn_on_the_slices_comes_back_voxel_for_voxel(tmp_path, make_series, helpers, way, kind):
    series = make_series(helpers.affines[way])
    masks = helpers.masks()
    if kind == "LABELMAP":
        masks["Kidney"] &= ~masks["Tumour"]
    given = {name: mask * 0.75 for name, mask in masks.items()} if kind == "FRACTIONAL" else masks
    seg = series.seg(tmp_path / "seg.dcm", given, kind)
    structures = read_structures(seg, series.scan)
    volume = read_scan(series.scan).volume
    assert structures.shape == volume.shape
    for name, mask in _found(structures, volume.shape).items():
        assert np.array_equal(_stored(series.scan, mask), _ascending(series, masks[name])), name
        assert np.count_nonzero(mask) == np.count_nonzero(masks[name])
    assert ("fractions" in " ".join(structures.notes)) == (kind == "FRACTIONAL")


def test_names_codes_and_references_are_told(tmp_path, series, helpers):
    seg = series.seg(tmp_path / "seg.dcm", helpers.masks())
    structures = read_structures(seg, series.scan)
    first = series.slices[0]
    assert structures.kind == "seg"
    assert [one.name for one in structures.structures] == ["Kidney", "Tumour"]
    assert [code.meaning for code in structures.structures[0].codes] == ["Anatomical Structure", "Kidney"]
    assert (structures.structures[0].codes[1].value, structures.structures[0].codes[1].scheme) == ("64033007", "SCT")
    assert structures.reference.series == (first.SeriesInstanceUID,)
    assert structures.reference.study == first.StudyInstanceUID
    assert structures.reference.frames_of_reference == (first.FrameOfReferenceUID,)
    assert structures.notes == ()


def test_frames_may_stand_in_any_order(tmp_path, series, helpers):
    def shuffle(seg):
        order = np.random.default_rng(5).permutation(int(seg.NumberOfFrames))
        pixels = seg.pixel_array[order]
        seg.PerFrameFunctionalGroupsSequence = [seg.PerFrameFunctionalGroupsSequence[int(n)] for n in order]
        bits = np.packbits(pixels.ravel().astype(np.uint8), bitorder="little")
        seg.PixelData = bits.tobytes() + b"\0" * (bits.size % 2)

    masks = helpers.masks()
    found = _found(read_structures(series.seg(tmp_path / "s.dcm", masks, change=shuffle), series.scan), (24, 20, 12))
    assert all(np.array_equal(found[name], masks[name]) for name in masks)


def test_a_frame_that_was_left_out_is_empty_however_far_its_neighbours_are(tmp_path, series, helpers):
    mask = helpers.masks()["Kidney"]
    mask[:, :, [3, 4, 6]] = False
    seg = series.seg(tmp_path / "s.dcm", {"Kidney": mask})
    assert np.array_equal(_found(read_structures(seg, series.scan), mask.shape)["Kidney"], mask)


@pytest.mark.parametrize(("threshold", "voxels"), [(0.3, 2), (0.5, 1), (0.9, 0)])
def test_the_threshold_decides_what_belongs_to_a_fraction(tmp_path, series, threshold, voxels):
    shares = np.zeros((24, 20, 12))
    shares[5, 6, 7], shares[6, 6, 7], shares[7, 6, 7] = 0.4, 0.6, 0.2
    seg = series.seg(tmp_path / "s.dcm", {"Kidney": shares, "Tumour": np.ones((24, 20, 12))}, "FRACTIONAL")
    structures = read_structures(seg, series.scan, threshold=threshold)
    assert sum(one.voxels for one in structures.structures if one.name == "Kidney") == voxels
    assert (structures.left_out == ("Kidney",)) == (voxels == 0)


def _world(affine, shape):
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


@pytest.mark.parametrize("turn", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("way", ["axial", "oblique", "tilted"])
def test_another_grid_of_the_same_frame_of_reference_is_read_by_the_nearest_pixel(
    tmp_path, make_series, helpers, way, turn
):
    series = make_series(helpers.affines[way])
    volume = read_scan(series.scan).volume
    fine = np.eye(4)
    fine[:3, :3] = volume.affine[:3, :3] / volume.spacing_mm * [0.5, 0.6, 0.7]
    fine[:3, 3] = volume.affine[:3, 3] - 3 * fine[:3, :3].sum(axis=1) + [0.13, 0.21, 0.05]
    fine = fine[:, [*turn, 3]]
    shape = tuple(np.array((60, 60, 60))[list(turn)])
    centre = volume.affine @ [12, 10, 6, 1]
    ball = np.linalg.norm(_world(fine, shape) - centre[:3], axis=-1) < 6
    seg = series.seg_volume(tmp_path / "s.dcm", {"Kidney": ball}, fine)
    found = _found(read_structures(seg, series.scan), volume.shape)["Kidney"]
    index = np.rint(_world(np.linalg.inv(fine) @ volume.affine, volume.shape)).astype(int)
    inside = ((index >= 0) & (index < shape)).all(axis=-1)
    at = np.clip(index, 0, np.array(shape) - 1)
    expected = ball[at[..., 0], at[..., 1], at[..., 2]] & inside
    assert expected.sum() > 400
    assert np.array_equal(found, expected)


def test_a_coarser_grid_leaves_no_hole_and_counts_no_slice_twice(tmp_path, series):
    coarse = series.affine @ np.diag([1, 1, 2, 1.0])
    mask = np.zeros((24, 20, 6), bool)
    mask[4:9, 5:9, 1:4] = True
    seg = series.seg_volume(tmp_path / "s.dcm", {"Kidney": mask}, coarse)
    found = _found(read_structures(seg, series.scan), (24, 20, 12))["Kidney"]
    slices = np.flatnonzero(found.any(axis=(0, 1)))
    assert slices.size == 6
    assert (np.diff(slices) == 1).all()
    assert found.sum() == 2 * mask.sum()


def test_what_reaches_beyond_the_scan_is_noted(tmp_path, series):
    wide = series.affine.copy()
    wide[:3, 3] -= 6 * wide[:3, 0]
    mask = np.zeros((36, 20, 12), bool)
    mask[2:12, 5:9, 3:8] = True
    seg = series.seg_volume(tmp_path / "s.dcm", {"Kidney": mask}, wide)
    structures = read_structures(seg, series.scan)
    assert structures.structures[0].voxels == 6 * 4 * 5
    assert structures.notes == ("Kidney reaches beyond the scan",)


def test_frames_without_a_place_lie_on_the_slices_that_they_name(tmp_path, series, helpers):
    def strip(seg):
        for frame in seg.PerFrameFunctionalGroupsSequence:
            del frame.PlanePositionSequence

    masks = helpers.masks()
    found = _found(read_structures(series.seg(tmp_path / "s.dcm", masks, change=strip), series.scan), (24, 20, 12))
    assert all(np.array_equal(found[name], masks[name]) for name in masks)


def test_only_wanted_names_are_read(tmp_path, series, helpers):
    seg = series.seg(tmp_path / "s.dcm", helpers.masks())
    structures = read_structures(seg, series.scan, wanted=lambda name: name == "Tumour")
    assert [one.name for one in structures.structures] == ["Tumour"]


def test_what_this_project_writes_it_reads(tmp_path, make_series, helpers):
    for way, affine in helpers.affines.items():
        series = make_series(affine, name=f"ct {way}")
        volume = read_scan(series.scan).volume
        labels = np.zeros(volume.shape, np.uint8)
        labels[3:9, 16:19, 2:8], labels[4:6, 17, 3:5] = 1, 2
        write_dicom_seg(tmp_path / "s.dcm", labels, volume.affine, series.scan, algorithm="kits", version="1")
        found = _found(read_structures(tmp_path / "s.dcm", series.scan), volume.shape)
        assert np.array_equal(found["Kidney"], labels == 1)
        assert np.array_equal(found["Tumour"], labels == 2)


def _set(**values):
    def change(seg):
        for name, value in values.items():
            setattr(seg, name, value)

    return change


def _unplaced(seg):
    for frame in seg.PerFrameFunctionalGroupsSequence:
        del frame.PlanePositionSequence, frame.DerivationImageSequence


def _turned(seg):
    turned = Dataset()
    turned.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]
    seg.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence = [turned]


def _of_segment_7(seg):
    seg.PerFrameFunctionalGroupsSequence[1].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 7


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_set(SegmentationType="OTHER"), "the segmentation type OTHER"),
        (_set(NumberOfFrames=3), "3 frames, of which 12 are described"),
        (_unplaced, "no place in the patient for frame 1"),
        (_turned, "frames of more than one orientation"),
        (_of_segment_7, "a frame of segment 7, which is not described"),
        (lambda seg: delattr(seg, "PixelData"), "none of pixels"),
        (lambda seg: _set(PixelData=seg.PixelData[:100])(seg), "100 of 720 bytes of pixels"),
        (_set(Rows=18), "720 of 648 bytes of pixels"),
    ],
)
def test_a_broken_file_is_refused_with_the_reason(tmp_path, series, helpers, change, words):
    seg = series.seg(tmp_path / "s.dcm", helpers.masks(), change=change)
    with pytest.raises(CaseError) as error:
        read_structures(seg, series.scan)
    assert str(error.value).startswith("ct: expected ")
    assert words in str(error.value)


def test_a_file_cut_off_anywhere_is_refused(tmp_path, series, helpers):
    seg = series.seg(tmp_path / "s.dcm", helpers.masks())
    whole = seg.read_bytes()
    for size in (*range(0, len(whole), 97), len(whole) - 2):
        seg.write_bytes(whole[:size])
        with pytest.raises(CaseError):
            read_structures(seg, series.scan)


def test_compressed_frames_are_read_and_broken_ones_refused(tmp_path, series, helpers):
    shares = {name: mask * 1.0 for name, mask in helpers.masks().items()}
    seg = series.seg(tmp_path / "s.dcm", shares, "FRACTIONAL", transfer_syntax_uid=RLELossless)
    found = _found(read_structures(seg, series.scan), (24, 20, 12))
    assert all(np.array_equal(found[name], mask) for name, mask in helpers.masks().items())
    whole = seg.read_bytes()
    start = whole.rindex(b"\xfe\xff\x00\xe0") + 8  # the last frame's header: how many segments, and where
    seg.write_bytes(whole[:start] + b"\xff" * 12 + whole[start + 12 :])
    with pytest.raises(CaseError, match=r"frames that can be decoded in s\.dcm, got .*whole and uncompressed"):
        read_structures(seg, series.scan)


def test_a_deflated_file_is_read(tmp_path, series, helpers):
    data = dcmread(series.seg(tmp_path / "s.dcm", helpers.masks()))
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data.save_as(tmp_path / "deflated.dcm")
    found = _found(read_structures(tmp_path / "deflated.dcm", series.scan), (24, 20, 12))
    assert all(np.array_equal(found[name], mask) for name, mask in helpers.masks().items())
