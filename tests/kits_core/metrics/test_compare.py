import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon

from kits_core.errors import KitsError
from kits_core.metrics.compare import compare


def _scores(values, metric="dice"):
    rows = [(case, "tumor", metric, value, "ok") for case, value in values.items()]
    return pd.DataFrame(rows, columns=["case", "region", "metric", "value", "status"])


def test_by_hand():
    first = _scores({"a": 0.5, "b": 0.6, "c": 0.9, "only first": 1.0})
    second = _scores({"a": 0.7, "b": 0.6, "c": 0.8, "only second": 1.0})
    found = compare(first, second)
    row = found.summary.iloc[0]
    assert (row["pairs"], row["better"], row["worse"], row["equal"]) == (3, 1, 1, 1)
    assert row["gain"] == pytest.approx(0.1 / 3)
    assert (row["first"], row["second"]) == (pytest.approx(2 / 3), pytest.approx(0.7))
    assert row["p"] == pytest.approx(wilcoxon([0.2, 0.0, -0.1]).pvalue)
    assert found.unpaired == ("only first", "only second")


def test_a_smaller_distance_is_a_gain_and_a_missing_one_no_pair():
    first = _scores({"a": 9.0, "b": 4.0, "c": np.nan}, "hausdorff_mm")
    found = compare(first, _scores({"a": 3.0, "b": 5.0, "c": 1.0}, "hausdorff_mm"))
    assert found.pairs["gain"].tolist() == [6.0, -1.0]


def test_volumes_are_no_scores():
    both = pd.concat([_scores({"a": 1.0}), _scores({"a": 33.0}, "prediction_ml")])
    assert compare(both, both).summary["metric"].tolist() == ["dice"]


def test_equal_sides_have_no_test():
    scores = _scores({"a": 0.5, "b": 0.6})
    row = compare(scores, scores).summary.iloc[0]
    assert (row["equal"], row["gain"]) == (2, 0.0)
    assert np.isnan(row["p"])


def test_other_cases_cannot_be_compared():
    with pytest.raises(KitsError, match="compare evaluations of the same split"):
        compare(_scores({"a": 0.5}), _scores({"b": 0.5}))


def test_a_distance_that_one_side_lacks_is_lost_or_won():
    first = _scores({"a": 10.0, "b": 50.0, "c": float("nan"), "d": float("nan")}, "hausdorff95_mm")
    second = _scores({"a": 9.0, "b": float("nan"), "c": 20.0, "d": float("nan")}, "hausdorff95_mm")
    row = compare(first, second).summary.iloc[0]
    assert (row["pairs"], row["better"], row["lost"], row["won"]) == (1, 1, 1, 1)


def test_a_metric_that_one_side_lacks_altogether_is_lost_not_left_out():
    first, second = ({"a": 10.0, "b": 50.0}, {"a": float("nan"), "b": float("nan")})
    compared = compare(_scores(first, "hausdorff95_mm"), _scores(second, "hausdorff95_mm"))
    row = compared.summary.iloc[0]
    assert (row["pairs"], row["lost"], row["won"]) == (0, 2, 0)
    assert np.isnan(row["gain"])
