"""Runs that nobody is at, runs that are needless, and what people set: on a real server."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from prefect import flow
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.events import emit_event
from prefect.states import Pending, Running, Scheduled

from deployments.up import tidy
from deployments.up.kept import keeping_what_was_set
from deployments.up.tidy import drop_needless_runs, end_lost_runs, end_silent_runs


@flow
def nothing():
    """A flow to have runs of."""


@pytest.fixture
def deployment(client):
    made = client.create_deployment(flow_id=client.create_flow(nothing), name="kept", parameters={"a": 1})
    yield made
    client.delete_deployment(made)


def _running(client, name):
    run = client.create_flow_run(nothing, name=name)
    client.set_flow_run_state(run.id, Running(), force=True)
    return run


def _heartbeat(run):
    emit_event(event="prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{run.id}"})


def _heard(api, run):
    resource = {"id": [f"prefect.flow-run.{run.id}"]}
    wanted = {"filter": {"resource": resource, "event": {"name": ["prefect.flow-run.heartbeat"]}}}
    return api.post("events/filter", json=wanted).raise_for_status().json()["total"]


def test_runs_that_went_with_the_last_server_are_crashed_and_others_left(client, api):
    silent, alive = _running(client, "silent"), _running(client, "alive")
    since = datetime.now(UTC)
    young = _running(client, "young")
    _heartbeat(alive)
    deadline = time.monotonic() + 30
    while not _heard(api, alive):
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


def test_a_run_whose_worker_never_began_it_gives_its_place_back(client, deployment, monkeypatch):
    lost, beginning = (client.create_flow_run_from_deployment(deployment, state=Pending()) for _ in range(2))
    command = client.create_flow_run(nothing, state=Pending())
    assert not {lost.name, beginning.name} & set(end_lost_runs())
    monkeypatch.setattr(tidy, "_BEGINS_WITHIN", timedelta(seconds=1))
    client.set_flow_run_state(lost.id, Pending(), force=True)
    time.sleep(1.5)
    client.set_flow_run_state(beginning.id, Pending(), force=True)
    assert end_lost_runs() == [lost.name]
    assert client.read_flow_run(lost.id).state.type.value == "CRASHED"
    assert [client.read_flow_run(run.id).state.type.value for run in (beginning, command)] == ["PENDING", "PENDING"]
    for run in (beginning, command):
        client.delete_flow_run(run.id)


def test_of_late_runs_of_a_schedule_the_newest_is_left(client, deployment, api):
    now = datetime.now(UTC)
    due = [now - timedelta(minutes=minutes) for minutes in (9, 6, 3)]
    late = [_scheduled(client, deployment, moment) for moment in due]
    coming = _scheduled(client, deployment, now + timedelta(minutes=9))
    by_hand = client.create_flow_run_from_deployment(deployment, state=Scheduled(scheduled_time=due[0]))
    assert sorted(drop_needless_runs()) == sorted(run.name for run in late[:2])
    states = [client.read_flow_run(run.id).state.type.value for run in (*late, coming, by_hand)]
    assert states == ["CANCELLED", "CANCELLED", "SCHEDULED", "SCHEDULED", "SCHEDULED"]
    assert drop_needless_runs() == []


def _scheduled(client, deployment, moment):
    """A run as the server's scheduler makes them."""
    return client.create_flow_run_from_deployment(
        deployment, state=Scheduled(scheduled_time=moment), tags=["auto-scheduled"]
    )


def test_parameters_and_switches_outlast_a_deployment(client, deployment):
    cron = CronSchedule(cron="30 1 * * *", timezone="Europe/Berlin")
    client.create_deployment_schedules(deployment, [(cron, False)], slug="nightly")
    (made,) = client.read_deployment_schedules(deployment)
    client.update_deployment_schedule(deployment, made.id, active=True)
    own = IntervalSchedule(interval=timedelta(hours=3))
    client.create_deployment_schedules(deployment, [(own, True)])
    with keeping_what_was_set():
        # What `prefect deploy` does: the file's parameters, and its schedules instead of all that are there.
        flow_id = client.read_deployment(deployment).flow_id
        again = client.create_deployment(flow_id=flow_id, name="kept", parameters={"a": 2})
        for schedule in client.read_deployment_schedules(deployment):
            client.delete_deployment_schedule(deployment, schedule.id)
        client.create_deployment_schedules(deployment, [(cron, False)], slug="nightly")
    assert again == deployment
    found = client.read_deployment(deployment)
    assert found.parameters == {"a": 1}
    assert {(s.slug, s.active) for s in found.schedules} == {("nightly", True), (None, True)}


def test_a_queue_can_be_paused_while_nothing_waits(client, api):
    """The server's own transactions do not wait for each other: it used to take over a minute."""
    pool = api.post("work_pools/", json={"name": "for-pausing", "type": "process"}).raise_for_status()
    start = time.monotonic()
    for paused in (True, False):
        address = "work_pools/for-pausing/queues/default"
        api.patch(address, json={"is_paused": paused}).raise_for_status()
    assert time.monotonic() - start < 20
    assert pool.json()["name"] == "for-pausing"
