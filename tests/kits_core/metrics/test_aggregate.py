import math

import numpy as np
import pandas as pd
import pytest

from kits_core.metrics.aggregate import bootstrap_interval, diagonal_mm, official_summary, summarise


def test_a_summary_by_hand_counts_what_has_no_value():
    scores = pd.DataFrame(
        {
            "case": ["a", "b", "c"],
            "region": "tumor",
            "metric": "hausdorff_mm",
            "value": [2.0, 4.0, np.nan],
            "status": ["ok", "ok", "prediction_empty"],
            "diagonal_mm": 50.0,
        }
    )
    row = summarise(scores).iloc[0]
    assert (row["cases"], row["mean"], row["median"], row["failures"]) == (3, 3.0, 3.0, 1)


def test_the_interval_holds_the_mean_and_shrinks_with_more_cases():
    rng = np.random.default_rng(3)
    few, many = rng.normal(0.8, 0.1, 10), rng.normal(0.8, 0.1, 1000)
    low, high = bootstrap_interval(many)
    assert low < many.mean() < high
    assert high - low < np.diff(bootstrap_interval(few))[0]
    assert high - low == pytest.approx(2 * 1.96 * 0.1 / math.sqrt(1000), rel=0.15)


def test_one_case_has_no_interval():
    assert all(math.isnan(v) for v in bootstrap_interval(np.array([0.5])))


def _frame(values, *, metric="hausdorff_mm", region="tumor", diagonal=100.0):
    rows = [(case, region, metric, value, status, diagonal) for case, (value, status) in values.items()]
    return pd.DataFrame(rows, columns=["case", "region", "metric", "value", "status", "diagonal_mm"])


def test_a_distance_that_could_not_be_measured_counts_as_the_diagonal_beside_the_plain_mean():
    values = {
        "a": (2.0, "ok"),
        "b": (np.nan, "prediction_empty"),
        "c": (np.nan, "missing"),
        "d": (np.nan, "both_empty"),
    }
    row = summarise(_frame(values)).iloc[0]
    assert (row["cases"], row["failures"], row["mean"]) == (4, 2, 2.0)
    assert row["penalised_mean"] == pytest.approx((2 + 100 + 100) / 3)


def test_what_is_no_distance_has_no_failures():
    row = summarise(_frame({"a": (1.0, "ok"), "b": (np.nan, "reference_empty")}, metric="detected")).iloc[0]
    assert (row["failures"], row["mean"]) == (0, 1.0)
    assert math.isnan(row["penalised_mean"])


def test_missing_more_organs_never_improves_the_penalised_mean():
    good = {"a": (5.0, "ok"), "b": (40.0, "ok"), "c": (30.0, "ok")}
    worse = {**good, "b": (np.nan, "prediction_empty")}
    better_looking = summarise(_frame(worse)).iloc[0]["mean"] < summarise(_frame(good)).iloc[0]["mean"]
    assert better_looking  # why the plain mean alone cannot be trusted
    assert summarise(_frame(worse)).iloc[0]["penalised_mean"] > summarise(_frame(good)).iloc[0]["penalised_mean"]


def test_the_official_summary_is_the_mean_of_the_means_of_three_regions():
    frames = [
        _frame({"a": (value, "ok"), "b": (0.0, "missing")}, metric=metric, region=region)
        for metric, values in (("dice", (1.0, 0.8, 0.6)), ("surface_dice", (0.8, 0.4, 0.0)))
        for region, value in zip(("kidney_and_mass", "mass", "tumor"), values, strict=True)
    ]
    frames.append(_frame({"a": (1.0, "ok"), "b": (1.0, "ok")}, metric="dice", region="kidney"))
    found = official_summary(pd.concat(frames))
    assert (found.cases, found.dice, found.surface_dice) == (2, pytest.approx(0.4), pytest.approx(0.2))


def test_the_diagonal_of_an_image():
    assert diagonal_mm((10, 20, 20), (3.0, 2.0, 2.0)) == pytest.approx(math.sqrt(900 + 1600 + 1600))
