from prefect.client.schemas.objects import State

from flows.fan_out import Outcome
from flows.outcomes import Reason, completed, counted, reasons, section
from kits_core.errors import CaseError

REFUSED = Reason("case_00001", "case_00001: expected HU, got letters", refused=True)
FAILED = Reason("case_00002", "case_00002: OSError: disk", refused=False)


def test_a_case_that_is_refused_is_told_from_one_that_fails():
    error = CaseError("case_00001", expected="HU", got="letters", next_step="look")
    outcomes = [Outcome(1, error, None), Outcome(2, OSError("disk"), None), Outcome(3, None, "made")]
    found = reasons(outcomes, lambda item: f"case_{item:05d}")
    assert [(reason.case, reason.refused) for reason in found] == [("case_00001", True), ("case_00002", False)]
    assert found[0].text == str(error)
    assert "OSError: disk" in found[1].text


def test_a_section_has_a_row_a_case_and_is_left_out_without():
    assert section("Refused", []) == ""
    text = section("Refused", [REFUSED, FAILED])
    assert "## Refused: 2" in text
    assert text.count("\n| case") == 3  # the head, and a row each


def test_problems_become_the_state_that_a_flow_ends_in():
    done = object()
    assert completed(done, counted([], "of 4 cases refused")) is done
    state = completed(done, counted(["case_00001: no", "case_00002: no"], "of 4 cases refused"))
    assert isinstance(state, State)
    assert state.is_completed()
    assert state.message == "Completed with problems: 2 of 4 cases refused (first: case_00001: no)"
    assert state.result() is done
