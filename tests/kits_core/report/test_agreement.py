import numpy as np
import pandas as pd
import pytest

from kits_core.report.agreement import agreement_rows, tumors_sentence

COLUMNS = ["case", "structure", "side", "name", "reference", "prediction"]


@pytest.fixture
def measured():
    """Two tumours found, one missed, one that is not there."""
    rows = [
        ("a", "kidney_left", "left", "parenchyma_ml", 150.0, 140.0),
        ("a", "tumor_1", "left", "volume_ml", 20.0, 22.0),
        ("a", "tumor_1", "left", "exophytic_fraction", 0.5, 0.4),
        ("a", "tumor_1", "left", "sinus_distance_mm", 3.0, np.nan),
        ("b", "tumor_1", "right", "volume_ml", 10.0, 6.0),
        ("b", "tumor_2", "right", "volume_ml", 5.0, np.nan),
        ("b", "found_2", "left", "volume_ml", np.nan, 1.0),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_errors_are_over_what_both_have(measured):
    rows = {row["measurement"]: row for row in agreement_rows(measured)}
    assert list(rows) == ["tumour: volume, ml", "tumour: exophytic share, %", "kidney: kidney tissue, ml"]
    volume = rows["tumour: volume, ml"]
    assert (volume["pairs"], volume["reference, mean"], volume["error, mean"]) == ("2", "15.0", "-1.0")
    spread = 1.96 * np.std([2, -4], ddof=1)
    assert volume["limits of agreement"] == f"{-1 - spread:+.1f} to {-1 + spread:+.1f}"
    assert (volume["absolute error, median"], volume["absolute error, largest"]) == ("3.0", "4.0")


def test_one_pair_has_no_limits_and_shares_are_in_percent(measured):
    rows = {row["measurement"]: row for row in agreement_rows(measured)}
    share = rows["tumour: exophytic share, %"]
    assert (share["reference, mean"], share["error, mean"], share["limits of agreement"]) == ("50.0", "-10.0", "–")


def test_the_sentence_counts_what_is_found_missed_and_wrong(measured):
    assert tumors_sentence(measured) == (
        "2 of 3 tumours of the references share voxels with a predicted one, 1 is missed; "
        "1 predicted tumour shares none."
    )


def test_without_plans_there_is_no_table():
    assert agreement_rows(pd.DataFrame(columns=COLUMNS).astype({"reference": float, "prediction": float})) == []
