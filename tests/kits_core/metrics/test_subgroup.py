import numpy as np
import pandas as pd

from kits_core.metrics.subgroup import SUBGROUPS, by_subgroup, levels


def _cases(**columns):
    n = len(next(iter(columns.values())))
    return pd.DataFrame(
        {name: columns.get(name, [None] * n) for name in SUBGROUPS}, index=[f"case_{i}" for i in range(n)]
    )


def _scores(values, region="tumor"):
    rows = [(f"case_{i}", region, "dice", value, "ok") for i, value in enumerate(values)]
    return pd.DataFrame(rows, columns=["case", "region", "metric", "value", "status"])


def test_volumes_and_spacings_are_cut_where_the_cases_at_hand_do_not_matter():
    told = levels(_cases(tumor_ml=[0.0, 10.0, 10.1, 31, 2600, np.nan], slice_mm=[0.5, 1, 3, 3.1, 5, 5]))
    assert told["tumor_ml"].tolist() == [
        "up to 10 ml",
        "up to 10 ml",
        "10-30 ml",
        "30-100 ml",
        "over 100 ml",
        "unknown",
    ]
    assert told["slice_mm"].tolist() == ["up to 1 mm", "up to 1 mm", "1-3 mm", "over 3 mm", "over 3 mm", "over 3 mm"]


def test_rare_texts_become_one_and_a_single_rare_one_stays():
    histology = ["clear cell"] * 3 + ["a", "b"] + [None]
    assert levels(_cases(histology=histology))["histology"].tolist() == ["clear cell"] * 3 + ["others"] * 2 + [
        "unknown"
    ]
    assert levels(_cases(sex=["m", "m", "m", "f"]))["sex"].tolist() == ["m", "m", "m", "f"]


def test_means_by_level_smallest_range_first():
    ceilings = pd.DataFrame({"case": ["case_0", "case_1", "case_2"], "region": "tumor", "value": [0.8, 0.9, 0.95]})
    found = by_subgroup(_scores([0.2, 0.4, 0.9, 0.7]), _cases(tumor_ml=[200, 150, 5, 20], sex=["m"] * 4), ceilings)
    assert found[["subgroup", "level", "cases"]].to_numpy().tolist() == [
        ["tumor_ml", "up to 10 ml", 1],
        ["tumor_ml", "10-30 ml", 1],
        ["tumor_ml", "over 100 ml", 2],
    ]
    np.testing.assert_allclose(found["mean"], [0.9, 0.7, 0.3])
    np.testing.assert_allclose(found["ceiling"], [0.95, np.nan, 0.85])


def test_a_case_that_nothing_is_known_of_counts_as_unknown():
    found = by_subgroup(_scores([0.2, 0.4]), _cases(sex=["m"]), pd.DataFrame(columns=["case", "region", "value"]))
    assert found["level"].tolist() == ["m", "unknown"]
