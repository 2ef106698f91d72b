import pickle

import pytest

from kits_core.errors import CaseError, check_case_name


def test_a_case_error_says_case_expected_got_and_next_step():
    error = CaseError("case_00160", expected="one grid", got="two", next_step="run ingest again")
    assert str(error) == "case_00160: expected one grid, got two; run ingest again"


def test_a_case_error_crosses_a_process_boundary_whole():
    error = pickle.loads(pickle.dumps(CaseError("case_00001", expected="a", got="b", next_step="c")))
    assert isinstance(error, CaseError)
    assert (error.case, error.expected, error.got, error.next_step) == ("case_00001", "a", "b", "c")


@pytest.mark.parametrize("name", ["../case_00001", "case_1", "case_00001/..", "case_000001", ""])
def test_names_that_are_not_official_are_refused(name):
    with pytest.raises(CaseError):
        check_case_name(name)


def test_an_official_name_passes():
    assert check_case_name("case_00588") == "case_00588"
