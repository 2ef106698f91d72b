"""What `kits up` leaves on the server, asked of a real one."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from prefect import flow, get_client
from prefect.events import emit_event
from prefect.states import Running

from deployments.up.automations import PREFIX, end_silent_runs, ensure_automations, remove_automations


@flow
def nothing():
    """A flow to have runs of."""


@pytest.fixture
def client(prefect_api, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with get_client(sync_client=True) as opened:
        yield opened


def _running(client, name):
    run = client.create_flow_run(nothing, name=name)
    client.set_flow_run_state(run.id, Running(), force=True)
    return run


def _heartbeat(run):
    emit_event(event="prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{run.id}"})


def _heard(prefect_api, run):
    resource = {"id": [f"prefect.flow-run.{run.id}"]}
    wanted = {"filter": {"resource": resource, "event": {"name": ["prefect.flow-run.heartbeat"]}}}
    return httpx.post(f"{prefect_api}/events/filter", json=wanted, trust_env=False).raise_for_status().json()["total"]


def test_runs_that_went_with_the_last_server_are_crashed_and_others_left(client, prefect_api):
    silent, alive = _running(client, "silent"), _running(client, "alive")
    since = datetime.now(UTC)
    young = _running(client, "young")
    _heartbeat(alive)
    deadline = time.monotonic() + 30
    while not _heard(prefect_api, alive):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert end_silent_runs(since) == ["silent"]
    states = {run.name: client.read_flow_run(run.id).state for run in (silent, alive, young)}
    assert {name: state.type.value for name, state in states.items()} == {
        "silent": "CRASHED", "alive": "RUNNING", "young": "RUNNING",
    }  # fmt: skip
    assert "it goes on where it was" in states["silent"].message
    assert end_silent_runs(since - timedelta(hours=1)) == []
    for run in (alive, young):
        client.delete_flow_run(run.id)


def _automations(prefect_api):
    found = httpx.post(f"{prefect_api}/automations/filter", json={}, trust_env=False).raise_for_status().json()
    return {a["name"]: a for a in found if a["name"].startswith(PREFIX)}


def test_automations_are_made_once_keep_a_switch_and_can_be_removed(client, prefect_api):
    for name in ("prepare", "evaluate", "train"):
        client.create_deployment(flow_id=client.create_flow(nothing), name=name)
    names = ensure_automations()
    made = _automations(prefect_api)
    assert set(made) == set(names)
    client.pause_automation(UUID(made["kits: prepare what changed"]["id"]))
    assert set(ensure_automations()) == set(names)
    again = _automations(prefect_api)
    assert {name: a["id"] for name, a in again.items()} == {name: a["id"] for name, a in made.items()}
    assert not again["kits: prepare what changed"]["enabled"]
    # Written anew, it would forget whose sign of life it waits for.
    silent = "kits: end what stopped answering"
    assert again[silent]["updated"] == made[silent]["updated"]
    remove_automations()
    assert _automations(prefect_api) == {}
