"""Two plans of one scan, value by value: what is the same, what is missed, and what is not there."""

import numpy as np
import pytest

from kits_core.errors import CaseError
from kits_core.geometry import Volume, write_volume
from kits_core.plan.agreement import compare_files, compare_plans
from kits_core.plan.plan import make_plan

KIDNEYS = [(1, (60, 0, 0), 35), (1, (-60, 0, 0), 35)]
LARGE, SMALL = (2, (60, 0, 40), 14), (2, (-60, 0, 40), 9)


def pairs(phantom, reference, prediction):
    truth, found = (phantom.paint((2, 2, 2), [*KIDNEYS, *tumors]) for tumors in (reference, prediction))
    made = compare_plans(make_plan("case", truth), make_plan("case", found), truth)
    return {(pair.structure, pair.name): pair for pair in made}


def test_the_same_twice_has_no_error(phantom):
    made = pairs(phantom, [LARGE, SMALL], [LARGE, SMALL])
    assert {structure for structure, _ in made} == {"kidney_left", "kidney_right", "tumor_1", "tumor_2"}
    assert all(pair.reference == pair.prediction for pair in made.values())
    assert made["tumor_1", "volume_ml"].side == "right"


def test_a_tumour_is_known_by_its_place_not_by_its_number(phantom):
    """The prediction sees much of the small one and little of the large one, so that it numbers them the other way."""
    made = pairs(phantom, [LARGE, SMALL], [(2, (60, 0, 40), 8), (2, (-60, 0, 40), 12)])
    assert made["tumor_1", "diameter_mm"].reference == pytest.approx(28, abs=1)
    assert made["tumor_1", "diameter_mm"].prediction == pytest.approx(16, abs=1)
    assert made["tumor_2", "diameter_mm"].reference == pytest.approx(18, abs=1)
    assert made["tumor_2", "diameter_mm"].prediction == pytest.approx(24, abs=1)


def test_what_is_missed_has_no_prediction_and_what_is_not_there_no_reference(phantom):
    made = pairs(phantom, [LARGE], [SMALL])
    missed, wrong = made["tumor_1", "volume_ml"], made["found_1", "volume_ml"]
    assert (missed.side, missed.prediction, wrong.side, wrong.reference) == ("right", None, "left", None)
    assert missed.reference == pytest.approx(4 / 3 * np.pi * 14**3 / 1000, rel=0.03)


def test_of_two_parts_of_one_tumour_the_larger_counts_as_it(phantom):
    parts = [(2, (60, 0, 47), 6), (2, (60, 0, 31), 5)]
    made = pairs(phantom, [LARGE], parts)
    assert made["tumor_1", "diameter_mm"].prediction == pytest.approx(12, abs=1)
    assert made["found_2", "diameter_mm"].prediction == pytest.approx(10, abs=1)


@pytest.fixture
def files(phantom, tmp_path):
    labels = phantom.paint((2, 2, 2), [*KIDNEYS, LARGE])
    shape = labels.shape
    write_volume(tmp_path / "image.nii", Volume(np.where(labels.data > 0, 100, -1000).astype(np.int16), labels.affine))
    write_volume(tmp_path / "reference.nii", labels)
    write_volume(tmp_path / "empty.nii", Volume(np.zeros(shape, np.uint8), labels.affine))
    write_volume(tmp_path / "other.nii", Volume(labels.data[1:], labels.affine))
    return tmp_path


def test_a_prediction_of_nothing_misses_everything(files):
    made = compare_files("case", files / "image.nii", files / "empty.nii", files / "reference.nii")
    assert {pair.structure for pair in made} == {"kidney_left", "kidney_right", "tumor_1"}
    assert all(pair.prediction is None for pair in made)
    same = compare_files("case", files / "image.nii", files / "reference.nii", files / "reference.nii")
    assert all(pair.prediction == pair.reference for pair in same)


def test_a_reference_on_another_grid_is_refused(files):
    with pytest.raises(CaseError, match="case_7: expected a segmentation on the image's grid"):
        compare_files("case_7", files / "image.nii", files / "reference.nii", files / "other.nii")
