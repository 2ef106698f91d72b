import re
from io import BytesIO
from xml.etree import ElementTree as ET

import matplotlib.image as mpimg
import numpy as np
import pandas as pd
import pytest

from kits_core.geometry import Volume, write_volume
from kits_core.metrics.case import score_case
from kits_core.metrics.subgroup import by_subgroup
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
from kits_core.report.style import Look, drawable

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


@pytest.mark.parametrize("width_mm", [85, 180])
def test_a_figure_for_a_paper_has_its_width_and_its_text_as_text(scores, width_mm):
    pdf, svg = (score_distribution(scores, {"kidney": 0.97}, Look(width_mm, kind)) for kind in ("pdf", "svg"))
    (box,) = re.findall(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert float(box[0]) == pytest.approx(width_mm / 25.4 * 72, abs=0.1)
    assert b"/FontFile2" in pdf  # TrueType, embedded
    assert b"/Type3" not in pdf
    root = ET.fromstring(svg)
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(width_mm / 25.4 * 72, abs=0.1)
    words = ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"kidney and mass", "surface Dice", "Dice"} <= set(words)


def test_figures_for_a_paper_are_the_same_each_time(scores):
    subgroups = by_subgroup(scores, _facts(scores), pd.DataFrame(columns=["case", "region", "value"]))
    history = pd.DataFrame(
        {
            "epoch": [1, 2],
            "loss": [0.9, 0.5],
            "kidney_dice": [0.1, 0.6],
            "tumor_dice": [0.0, 0.3],
            "score": [0.05, 0.45],
        }
    )
    look = Look(85, "svg")
    for figure in (
        lambda: subgroup_forest(subgroups[subgroups["region"] == "tumor"], 0.5, look),
        lambda: learning_curve(history, look),
        lambda: tumor_volume_agreement(scores, look),
        lambda: dice_over_volume(scores, look),
    ):
        assert figure() == figure()


def test_no_label_of_a_narrow_figure_is_cut_off(scores):
    """The axis of the forest has the longest label: it stands in several lines."""
    subgroups = by_subgroup(scores, _facts(scores), pd.DataFrame(columns=["case", "region", "value"]))
    svg = subgroup_forest(subgroups[subgroups["region"] == "tumor"], 0.5, Look(85, "svg"))
    words = {"".join(text.itertext()) for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {"tumour Dice", "(in brackets: cases;", "dashed: all cases; bars: ceiling)"} <= words


def _facts(scores):
    cases = sorted(scores["case"].unique())
    return pd.DataFrame(
        {"tumor_ml": [5.0, 20.0, 50.0, 200.0], "stage": ["1a"] * 4, "histology": ["clear_cell_rcc"] * 4,
         "phase": ["arterial"] * 4, "slice_mm": [1.0] * 4, "sex": ["male"] * 4},
        index=pd.Index(cases, name="case"),
    )  # fmt: skip
