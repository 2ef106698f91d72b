import pandas as pd
import pytest

from db.models import Case
from kits_core.errors import CaseError
from tasks.report import _draw, pictured


def _dice(number):
    return pd.Series([place / 100 for place in range(number)], index=[f"case_{place:05d}" for place in range(number)])


def test_best_median_and_the_ten_worst():
    shown = pictured(_dice(25).sample(frac=1, random_state=1))
    assert shown["Worst tumour Dice"] == [f"case_{place:05d}" for place in range(10)]
    assert (shown["Median"], shown["Best"]) == (["case_00012"], ["case_00024"])


def test_of_few_cases_each_is_shown_once():
    shown = pictured(_dice(4))
    assert shown == {
        "Worst tumour Dice": ["case_00000", "case_00001"], "Median": ["case_00002"], "Best": ["case_00003"]
    }  # fmt: skip
    assert pictured(_dice(1)) == {"Worst tumour Dice": ["case_00000"]}


def test_a_case_without_its_files_is_refused_and_no_retry_is_spent_on_it():
    with pytest.raises(CaseError, match=r"^case_00003: expected its image in the catalog, got none; bring it in"):
        _draw(Case(name="case_00003", files=[]), None, 1, [])
