import math

import numpy as np
import pandas as pd
import pytest

from kits_core.metrics.aggregate import bootstrap_interval, summarise


def test_a_summary_by_hand_counts_what_has_no_value():
    scores = pd.DataFrame(
        {
            "case": ["a", "b", "c"],
            "region": "tumor",
            "metric": "hausdorff_mm",
            "value": [2.0, 4.0, np.nan],
            "status": ["ok", "ok", "prediction_empty"],
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
