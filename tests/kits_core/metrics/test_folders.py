import gzip
import re

import nibabel as nib
import numpy as np
import pytest

from kits_core.errors import KitsError
from kits_core.metrics.folders import Naming, Pair, find_pairs, find_segmentations, read_names, score_pair
from kits_core.metrics.score import Status

AFFINE = np.diag([3.0, 0.8, 0.8, 1.0])


def _labels(shape=(8, 10, 10)):
    labels = np.zeros(shape, np.uint8)
    labels[1:6, 2:8, 2:8] = 1
    labels[2:4, 3:6, 3:6] = 2
    return labels


def _write(path, data, affine=AFFINE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


@pytest.fixture
def pair(tmp_path):
    reference = _write(tmp_path / "references/case_00001/segmentation.nii.gz", _labels())
    return Pair("case_00001", tmp_path / "predictions/case_00001.nii.gz", reference)


def _dice(scored, region="tumor"):
    return next(s for s in scored.scores if (s.region, s.metric) == (region, "dice"))


def test_both_layouts_compressed_or_not(tmp_path):
    _write(tmp_path / "case_00001.nii.gz", _labels())
    _write(tmp_path / "case_00002.nii", _labels())
    _write(tmp_path / "case_00003/segmentation.nii.gz", _labels())
    _write(tmp_path / "case_00003/imaging.nii.gz", _labels())
    _write(tmp_path / "patient 4.2.nii.gz", _labels())
    (tmp_path / "scores.csv").write_text("x")
    assert list(find_segmentations(tmp_path)) == ["case_00001", "case_00002", "case_00003", "patient 4.2"]


def test_folders_of_no_use_are_refused(tmp_path):
    with pytest.raises(KitsError, match="expected a folder of segmentations, got nothing"):
        find_segmentations(tmp_path / "nowhere")
    with pytest.raises(KitsError, match="named as case_00000"):
        find_segmentations(tmp_path)
    _write(tmp_path / "a/x.nii.gz", _labels())
    _write(tmp_path / "b/y.nii.gz", _labels())
    with pytest.raises(KitsError, match=r"names that .* share"):
        find_pairs(tmp_path / "a", tmp_path / "b")
    _write(tmp_path / "a/x.nii", _labels())
    with pytest.raises(KitsError, match="one segmentation of x, got"):
        find_segmentations(tmp_path / "a")


def test_what_has_no_partner_is_told(tmp_path):
    for name in ("p/case_00001", "p/case_00009", "r/case_00001", "r/case_00002"):
        _write(tmp_path / f"{name}.nii.gz", _labels())
    pairs, strangers = find_pairs(tmp_path / "p", tmp_path / "r")
    assert [(pair.case, pair.prediction is None) for pair in pairs] == [("case_00001", False), ("case_00002", True)]
    assert strangers == ["case_00009"]


def test_names_by_pattern_and_by_table(tmp_path):
    for name in ("p/case_1_pred", "p/case_2_pred", "p/other", "r/lbl_case_1", "r/lbl_case_2", "r/notes"):
        _write(tmp_path / f"{name}.nii.gz", _labels())
    by_pattern = find_pairs(tmp_path / "p", tmp_path / "r", Naming("{case}_pred", "lbl_{case}"))
    assert [(pair.case, pair.prediction.name) for pair in by_pattern[0]] == [
        ("case_1", "case_1_pred.nii.gz"), ("case_2", "case_2_pred.nii.gz"),
    ]  # fmt: skip
    assert by_pattern[1] == []
    table = tmp_path / "names.csv"
    table.write_text("prediction,reference\nother,notes\ncase_1_pred, lbl_case_2\n", encoding="utf-8-sig")
    pairs, strangers = find_pairs(tmp_path / "p", tmp_path / "r", Naming(by_prediction=read_names(table)))
    found = {pair.case: pair.prediction and pair.prediction.name for pair in pairs}
    assert found == {"notes": "other.nii.gz", "lbl_case_2": "case_1_pred.nii.gz", "lbl_case_1": None}
    assert strangers == ["case_2_pred"]
    with pytest.raises(KitsError, match=r"names that fit the pattern, got none"):
        find_pairs(tmp_path / "p", tmp_path / "r", Naming("{case}_x"))
    with pytest.raises(KitsError, match=r"'pred': expected a name with \{case\} in it"):
        Naming("pred")
    for text in ("prediction\na\n", "prediction,reference\na,b\na,c\n", "prediction,reference\na,\n"):
        table.write_text(text)
        with pytest.raises(KitsError, match="expected"):
            read_names(table)


def test_other_axes_are_no_other_grid(pair):
    """The same labels as a tool writes them that turns every file to RAS."""
    _write(pair.prediction, _labels())
    whole = [s.value for s in score_pair(pair).scores]
    for axes in ("RAS", "LPI", "SAL"):
        to = nib.orientations.axcodes2ornt(axes)
        image = nib.load(pair.prediction)
        turn = nib.orientations.ornt_transform(nib.io_orientation(image.affine), to)
        turned = image.as_reoriented(turn)
        nib.save(nib.Nifti1Image(np.asarray(turned.dataobj), turned.affine), pair.prediction)
        scored = score_pair(pair)
        assert scored.problem is None
        assert [s.value for s in scored.scores] == whole


def test_a_good_pair(pair):
    _write(pair.prediction, _labels())
    scored = score_pair(pair)
    assert scored.problem is None
    assert _dice(scored).value == 1
    assert scored.diagonal_mm == pytest.approx(np.sqrt(24**2 + 8**2 + 8**2))


def test_a_missing_prediction_counts_as_zero(pair):
    scored = score_pair(Pair(pair.case, None, pair.reference))
    assert (_dice(scored).value, _dice(scored).status) == (0, Status.MISSING)
    assert "expected a prediction, got none" in scored.problem


OTHER_SPACING = np.diag([3.0, 0.8, 0.9, 1.0])
OTHER_ORIGIN = AFFINE + np.eye(4)[0][:, None] * [0, 0, 0, 5]
OTHER_DIRECTION = np.diag([3.0, -0.8, 0.8, 1.0])


@pytest.mark.parametrize(
    ("data", "affine", "said"),
    [
        (_labels((8, 10, 11)), AFFINE, "shapes 8x10x11 and 8x10x10"),
        (_labels(), OTHER_SPACING, r"spacings 3x0.8x0.9 and 3x0.8x0.8 mm"),
        (_labels(), OTHER_ORIGIN, r"origins \(5.00, 0.00, 0.00\) and \(0.00, 0.00, 0.00\) mm"),
        (_labels(), OTHER_DIRECTION, "directions RPS .* and RAS"),
        (_labels() + 2, AFFINE, "expected labels 0, 1, 2 and 3 in .*, the prediction, got also .4"),
        (_labels().astype(np.int16) - 1, AFFINE, "got also .-1"),
        (_labels() * np.float32(0.9), AFFINE, "labels 0, 1, 2 and 3 in .*, the prediction, got also .0.89"),
        (_labels()[..., None].repeat(2, 3), AFFINE, r"3 axes in .*, the prediction, got dimensions \(8, 10, 10, 2\)"),
    ],
)  # fmt: skip
def test_a_prediction_of_no_use_is_named_and_counts_as_zero(pair, data, affine, said):
    _write(pair.prediction, data, affine)
    scored = score_pair(pair)
    assert scored.problem.startswith("case_00001: expected ")
    assert re.search(said, scored.problem)
    assert {s.status for s in scored.scores} == {Status.MISSING}


@pytest.mark.parametrize("content", [b"", b"not a scan", gzip.compress(b"nor this", mtime=0)])
def test_a_file_that_cannot_be_read(pair, content):
    pair.prediction.parent.mkdir()
    pair.prediction.write_bytes(content)
    problem = score_pair(pair).problem
    assert f"expected a NIfTI file in {pair.prediction.name}, the prediction, got " in problem
    assert problem.endswith("; it counts as zero")


def test_a_file_that_ends_early(pair):
    _write(pair.prediction, np.random.default_rng(0).integers(0, 3, (8, 10, 10)).astype(np.uint8))
    pair.prediction.write_bytes(pair.prediction.read_bytes()[:-150])
    assert "case_00001.nii.gz, the prediction, got " in score_pair(pair).problem


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_whole_labels_of_a_floating_type_count_and_nearly_whole_ones_are_noted(pair, dtype):
    _write(pair.prediction, _labels().astype(dtype))
    assert (_dice(score_pair(pair)).value, score_pair(pair).notes) == (1, ())
    _write(pair.prediction, (_labels() * 0.996).astype(dtype))
    scored = score_pair(pair)
    assert _dice(scored).value == 1
    assert scored.notes == ("case_00001, the prediction: labels that were nearly whole numbers were rounded",)


@pytest.mark.parametrize(("unit", "factor"), [(1, 1e-3), (3, 1e3), (0, 1e-3), (0, 1e3)])
def test_units_are_those_of_an_ingestion(pair, unit, factor):
    """In metres it took 23 GB, in micrometres it was scored: 846,000,000 ml."""
    for path in (pair.prediction, pair.reference):
        image = nib.Nifti1Image(_labels(), AFFINE * [factor, factor, factor, 1])
        image.header["xyzt_units"] = unit
        path.parent.mkdir(parents=True, exist_ok=True)
        image.to_filename(path)
    assert re.search(r"expected (spacing in millimetres|a spacing of 0\.05 to 20 mm)", score_pair(pair).problem)


def test_a_bad_reference_leaves_the_case_out(pair):
    _write(pair.prediction, _labels())
    _write(pair.reference, _labels() + 5)
    scored = score_pair(pair)
    assert scored.scores == ()
    assert "segmentation.nii.gz, the reference, got also [5, 6, 7]; the case is left out" in scored.problem


def test_rounding_in_a_header_is_no_other_grid(pair):
    _write(pair.prediction, _labels(), AFFINE + 1e-3)
    assert score_pair(pair).problem is None


def test_resampling_puts_a_prediction_on_the_references_grid(pair):
    a_voxel_on = AFFINE.copy()
    a_voxel_on[1, 3] = 0.8
    _write(pair.prediction, np.roll(_labels(), -1, axis=1), a_voxel_on)
    assert "origins" in score_pair(pair).problem
    scored = score_pair(pair, resample=True)
    assert scored.problem is None
    assert _dice(scored).value == 1


def test_a_header_that_promises_more_than_any_memory_is_named(pair):
    _write(pair.prediction, _labels())
    content = bytearray(gzip.decompress(pair.prediction.read_bytes()))
    content[40:48] = np.array([3, 32000, 32000, 32000], "<i2").tobytes()
    pair.prediction.write_bytes(gzip.compress(bytes(content)))
    scored = score_pair(pair)
    assert "the prediction, got a file that is too short for them: it was cut off; it counts as zero" in scored.problem
    assert _dice(scored).status == Status.MISSING


def test_a_prediction_elsewhere_is_no_empty_one(pair):
    _write(pair.prediction, _labels(), AFFINE + np.pad([[500.0]], ((0, 3), (3, 0))))
    scored = score_pair(pair, resample=True)
    assert "one that shares no voxel with it" in scored.problem
    assert _dice(scored).status == Status.MISSING


def test_small_differences_that_add_up_are_said_with_their_digits(tmp_path):
    large = _labels((8, 600, 600))
    reference = _write(tmp_path / "reference.nii.gz", large)
    prediction = _write(tmp_path / "prediction.nii.gz", large, np.diag([3.0, 0.8005, 0.8, 1.0]))
    problem = score_pair(Pair("a", prediction, reference)).problem
    assert "spacings 3x0.8005x0.8 and 3x0.8x0.8 mm, or directions, that differ by 0.30 mm at a corner" in problem
