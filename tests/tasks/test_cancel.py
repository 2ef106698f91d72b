import httpx
import pytest
from prefect import flow
from prefect.runtime import flow_run

from tasks import cancel
from tasks.cancel import CancelledRunError, check_cancelled, end_as_cancelled


def test_a_server_that_is_away_does_not_end_what_is_running(prefect_api, monkeypatch):
    asked = []

    def away(**_):
        asked.append(1)
        raise httpx.ConnectError("connection refused")

    @flow
    def working():
        with monkeypatch.context() as patch:
            patch.setattr(cancel, "get_client", away)
            check_cancelled("go on")
        return "done"

    assert working() == "done"
    assert asked == [1]


def test_a_part_of_a_run_that_is_being_cancelled_stops_too(api):
    stopped = []

    @flow
    def part():
        check_cancelled("kits train --resume 1 goes on")

    @flow
    def whole():
        part()  # nobody has cancelled it yet
        cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        api.post(f"flow_runs/{flow_run.id}/set_state", json=cancelling).raise_for_status()
        with pytest.raises(CancelledRunError, match="cancelled from the dashboard; kits train --resume 1 goes on"):
            part()
        stopped.append(True)

    whole(return_state=True)
    assert stopped


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_a_cancelled_run_without_a_worker_ends_as_cancelled_however_it_ends(api, ends):
    runs = []

    @flow(on_cancellation=[end_as_cancelled])
    def whole():
        runs.append(flow_run.id)
        cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        api.post(f"flow_runs/{flow_run.id}/set_state", json=cancelling).raise_for_status()
        if ends == "badly":
            raise CancelledRunError("a part of it was cancelled")
        return "done"

    whole(return_state=True)
    state = api.get(f"flow_runs/{runs[0]}").raise_for_status().json()["state"]
    assert state["type"] == "CANCELLED"
