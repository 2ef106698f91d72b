import numpy as np
import pytest

from kits_core.labels import REGIONS
from kits_core.metrics.case import METRICS, score_case
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
    assert len(scores) == len(REGIONS) * len(METRICS)
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


def test_the_other_empty_cases():
    nothing = np.zeros((6, 6, 6), np.uint8)
    assert _by_key(score_case(_labels(), nothing, (1, 1, 1)))["kidney", "dice"].status is Status.REFERENCE_EMPTY
    both = _by_key(score_case(nothing, nothing, (1, 1, 1)))["kidney", "dice"]
    assert (both.status, both.value) == (Status.BOTH_EMPTY, 1.0)


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        score_case(_labels(), _labels()[1:], (1, 1, 1))
