"""Scores as rows of text."""

import pandas as pd

from kits_core.metrics.compare import compare
from kits_core.report.tables import comparison_rows, score_rows


def _scores(*dice):
    rows = [(f"case_{n}", "kidney", name, value, "ok") for n, one in enumerate(dice) for name, value in one.items()]
    return pd.DataFrame(rows, columns=["case", "region", "metric", "value", "status"]).assign(diagonal_mm=500.0)


def test_a_single_case_has_no_interval_which_is_said_by_one_dash():
    first, second = (_scores({"dice": dice, "hausdorff95_mm": 3.0}) for dice in (0.5, 0.75))
    (row,) = comparison_rows(compare(first, second), "dice")
    assert (row["gain"], row["95 % interval"]) == ("+0.250", "–")
    (row,) = score_rows(first, None)
    assert (row["Dice"], row["95 % interval"]) == ("0.500", "–")


def test_several_cases_have_an_interval():
    first, second = (_scores({"dice": d, "hausdorff95_mm": 3.0}, {"dice": d, "hausdorff95_mm": 3.0}) for d in (0.5, 1))
    assert comparison_rows(compare(first, second), "dice")[0]["95 % interval"] == "+0.500 to +0.500"
    assert score_rows(first, None)[0]["95 % interval"] == "0.500–0.500"
