import numpy as np
import pytest

from kits_core.labels import OFFICIAL_REGIONS, REGIONS
from kits_core.metrics.case import missing_case, score_case
from kits_core.metrics.known import metrics_of
from kits_core.metrics.score import Status


def _by_key(scores):
    return {(s.region, s.metric): s for s in scores}


def _labels():
    labels = np.zeros((6, 6, 6), np.uint8)
    labels[1:5, 1:5, 1:5] = 1
    labels[2:4, 2:4, 2:4] = 2
    return labels


def test_a_perfect_prediction():
    scores = _by_key(score_case(_labels(), _labels(), (2.0, 1.0, 1.0)))
    assert len(scores) == sum(len(metrics_of(r)) for r in REGIONS)
    assert all(scores[r.name, "surface_dice"].value == 1 for r in OFFICIAL_REGIONS)
    assert ("kidney", "surface_dice") not in scores
    assert scores["tumor", "detected"].value == 1
    assert all(scores[r.name, "dice"].value == 1 for r in REGIONS)
    assert scores["tumor", "hausdorff_mm"].value == 0
    assert scores["tumor", "reference_ml"].value == pytest.approx(8 * 2 / 1000)
    assert {s.status for s in scores.values()} == {Status.OK}


def test_a_missed_tumour_scores_zero_and_has_no_distance():
    prediction = np.minimum(_labels(), 1)
    scores = _by_key(score_case(prediction, _labels(), (1, 1, 1)))
    assert scores["tumor", "dice"].value == 0
    assert scores["tumor", "hausdorff_mm"].value is None
    assert scores["tumor", "hausdorff_mm"].status is Status.PREDICTION_EMPTY
    assert scores["tumor", "prediction_ml"].value == 0
    assert scores["tumor", "detected"].value == 0
    assert scores["tumor", "surface_dice"].value == 0


def test_the_other_empty_cases():
    nothing = np.zeros((6, 6, 6), np.uint8)
    assert _by_key(score_case(_labels(), nothing, (1, 1, 1)))["kidney", "dice"].status is Status.REFERENCE_EMPTY
    both = _by_key(score_case(nothing, nothing, (1, 1, 1)))["kidney", "dice"]
    assert (both.status, both.value) == (Status.BOTH_EMPTY, 1.0)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        score_case(_labels(), _labels()[1:], (1, 1, 1))


def test_an_empty_reference_has_nothing_to_detect():
    scores = _by_key(score_case(_labels(), np.minimum(_labels(), 1), (1, 1, 1)))
    assert scores["tumor", "detected"].value is None
    assert scores["tumor", "dice"].value == 0
    assert scores["mass", "surface_dice"].value == 0


def test_a_missing_prediction_scores_zero_everywhere():
    scores = _by_key(missing_case(_labels(), (2.0, 1.0, 1.0)))
    assert {s.status for s in scores.values()} == {Status.MISSING}
    assert scores.keys() == _by_key(score_case(_labels(), _labels(), (1, 1, 1))).keys()
    assert scores["kidney", "dice"].value == scores["mass", "surface_dice"].value == 0
    assert scores["tumor", "detected"].value == 0
    assert scores["tumor", "hausdorff_mm"].value is None
    assert scores["tumor", "reference_ml"].value == pytest.approx(8 * 2 / 1000)
    assert scores["tumor", "prediction_ml"].value is None


def test_where_in_the_array_and_in_which_memory_order_changes_nothing():
    one, two = (np.pad(labels, ((3, 9), (0, 4), (7, 0))) for labels in (np.minimum(_labels(), 1)[::-1], _labels()))
    turned = np.asfortranarray(one), np.asfortranarray(two)
    plain = score_case(np.minimum(_labels(), 1)[::-1], _labels(), (2.0, 1.0, 1.5))
    for found in (score_case(one, two, (2.0, 1.0, 1.5)), score_case(*turned, (2.0, 1.0, 1.5))):
        assert [(s.region, s.metric, s.value) for s in found] == [(s.region, s.metric, s.value) for s in plain]
