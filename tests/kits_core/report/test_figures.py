from io import BytesIO

import matplotlib.image as mpimg
import numpy as np
import pandas as pd
import pytest

from kits_core.geometry import Volume, write_volume
from kits_core.metrics.case import score_case
from kits_core.phantom.dataset import kits_affine
from kits_core.report.figures import (
    case_slices,
    dice_over_volume,
    learning_curve,
    score_distribution,
    subgroup_forest,
    tumor_volume_agreement,
)
from kits_core.report.sections import _rows, case_sections, scored_sections
from kits_core.report.style import drawable

SPACING = (4.0, 2.0, 2.0)


def _labels(left):
    labels = np.zeros((20, 40, 60), np.uint8)
    side = slice(40, 55) if left else slice(5, 20)  # the file's last axis runs to the left
    labels[5:15, 15:28, side] = 1
    labels[8:12, 18:24, side.start + 3 : side.start + 9] = 2
    return labels


def _image(labels):
    hu = np.full(labels.shape, -60, np.int16)
    hu[labels == 1], hu[labels == 2] = 150, 60
    return Volume(hu, kits_affine(SPACING))


def _view(left, *, predicted=True):
    labels = _labels(left)
    return case_sections(_image(labels), labels, labels if predicted else None)


@pytest.fixture(scope="module")
def scores():
    rows = []
    for case in range(4):
        prediction = np.roll(_labels(left=True), case, axis=1)
        if case == 3:
            prediction[prediction == 2] = 1
        rows += [
            {"case": f"case_{case:05d}", **{k: getattr(s, k) for k in ("region", "metric", "value", "status")}}
            for s in score_case(prediction, _labels(left=True), SPACING)
        ]
    return pd.DataFrame(rows).astype({"value": float})


def test_charts_of_one_case_and_of_none_are_drawn(scores):
    one = scores[scores["case"] == "case_00000"]
    nothing_found = scores[scores["case"] == "case_00003"]
    for some in (one, nothing_found):
        for draw in (tumor_volume_agreement, dice_over_volume):
            assert _pixels(draw(some)).shape[0] > 150


def _pixels(png):
    return mpimg.imread(BytesIO(png))


def test_each_chart_is_a_png_with_something_on_it(scores):
    history = pd.DataFrame(
        {"epoch": [1, 2], "loss": [0.9, 0.5], "kidney_dice": [0.1, 0.8], "tumor_dice": [0, 0.4], "score": [0.05, 0.6]}
    )
    subgroups = pd.DataFrame(
        [
            ("tumor", "sex", level, 3, mean, mean - 0.1, mean + 0.1, 0.95)
            for level, mean in (("female", 0.5), ("male", 0.7))
        ],
        columns=["region", "subgroup", "level", "cases", "mean", "low", "high", "ceiling"],
    )
    for png in (
        score_distribution(scores, {"tumor": 0.95}),
        learning_curve(history),
        tumor_volume_agreement(scores),
        dice_over_volume(scores),
        subgroup_forest(subgroups, 0.6),
    ):
        pixels = _pixels(png)
        assert pixels.shape[0] > 150
        assert pixels[..., :3].std() > 0.05


def test_radiological_convention():
    # RAS: axis 0 runs to the patient's right, 1 to the front, 2 to the head. Marked: right, front, head.
    volume = np.zeros((3, 4, 5))
    volume[2, :, :] = 1
    volume[:, 3, :] += 2
    volume[:, :, 4] += 4
    axial, coronal, sagittal = (_rows(volume.take([1], axis), axis) for axis in (2, 1, 0))
    assert (axial[:, 0] % 2 == 1).all()  # the right on the left of the picture
    assert (axial[0] >= 2).all()  # the front above
    assert (coronal[:, 0] % 2 == 1).all()
    assert (coronal[0] >= 4).all()  # the head above
    assert (sagittal[0] >= 4).all()
    assert (sagittal[:, -1] % 4 >= 2).all()  # the front on the right


def test_one_row_a_case_and_contours_of_both_colours_only_with_a_prediction():
    one = _pixels(case_slices([_view(True)], ["a"]))
    two = _pixels(case_slices([_view(True), _view(False)], ["a", "b"]))
    assert two.shape[0] > 1.8 * one.shape[0]

    def orange(pixels):
        return ((pixels[..., 0] > 0.9) & (pixels[..., 2] < 0.3)).sum()

    assert orange(one) > 50
    assert orange(_pixels(case_slices([_view(True, predicted=False)], ["a"]))) == 0


def test_a_case_without_any_label_is_still_drawn():
    labels = _labels(True)
    empty = case_sections(_image(labels), np.zeros_like(labels))
    assert _pixels(case_slices([empty], ["a"])).shape[0] > 200


def test_the_sections_go_through_the_largest_tumour_section_however_the_file_is_oriented():
    labels = _labels(left=True)
    labels[9, 18:24, 43:49] = 2
    labels[9, 15:27, 43:55] = 2  # the largest, in slice 9 of 20
    axial, *_ = case_sections(_image(labels), labels)
    flipped = Volume(_image(labels).data[::-1], _image(labels).affine @ np.diag([-1.0, 1, 1, 1]))
    again, *_ = case_sections(flipped, labels[::-1])
    np.testing.assert_allclose(again.picture, axial.picture, atol=1e-3)
    assert (axial.reference == 2).sum() * axial.mm_per_pixel**2 == pytest.approx(144 * 4.0, rel=0.1)


def test_a_prediction_that_is_gone_leaves_the_reference(tmp_path):
    labels = _labels(left=True)
    write_volume(tmp_path / "imaging.nii", _image(labels))
    write_volume(tmp_path / "segmentation.nii", Volume(labels, _image(labels).affine))
    files = tmp_path / "imaging.nii", tmp_path / "segmentation.nii"
    for section in scored_sections("case_00001", *files, tmp_path / "case_00001.nii.gz"):
        assert section.prediction is None
    write_volume(tmp_path / "case_00001.nii.gz", Volume(labels, _image(labels).affine))
    for section in scored_sections("case_00001", *files, tmp_path / "case_00001.nii.gz"):
        np.testing.assert_array_equal(section.prediction, section.reference)


def test_names_in_scripts_without_a_font_are_drawn_by_their_codes():
    """A warning of a missing glyph would fail this test; two names must stay two."""
    assert drawable("Müller, A 7") == "Müller, A 7"
    codes = {drawable(name) for name in ("\u5f20\u4e09", "\u674e\u56db", "\U000e0041")}
    assert len(codes) == 3
    assert "U+E0041" in codes
    assert case_slices([_view(True)], ["\u5f20\u4e09 \U000e0041"], compared=None)
