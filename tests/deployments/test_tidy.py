"""Runs that are needless, and what people set: on a real server."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from prefect import flow
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.states import Scheduled
from prefect.utilities.callables import parameter_schema

from deployments.up.kept import keeping_what_was_set
from deployments.up.tidy import drop_needless_runs
from flows.parameters import TrainParameters
from flows.train import train


@flow
def nothing():
    """A flow to have runs of."""


@pytest.fixture
def deployment(client):
    made = client.create_deployment(flow_id=client.create_flow(nothing), name="kept", parameters={"a": 1})
    yield made
    client.delete_deployment(made)


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
    client.create_deployment_schedules(deployment, [(own, True)], parameters={"b": 3})
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
    assert [s.parameters for s in found.schedules if s.slug is None] == [{"b": 3}]


def test_a_deployment_of_an_older_name_gives_what_was_set_to_todays(client):
    flow_id = client.create_flow(nothing)
    old = client.create_deployment(flow_id=flow_id, name="predict-inbox", parameters={"a": 1}, paused=True)
    client.create_deployment_schedules(old, [(IntervalSchedule(interval=timedelta(minutes=7)), True)], slug="often")
    for _ in range(2):  # the second time there is nothing of the older name
        with keeping_what_was_set():
            new = client.create_deployment(flow_id=flow_id, name="watch-inbox", parameters={"a": 2})
    found = [deployment for deployment in client.read_deployments() if deployment.flow_id == flow_id]
    assert [(d.id, d.parameters, d.paused) for d in found if d.name.endswith("-inbox")] == [(new, {"a": 1}, True)]
    ((schedule),) = client.read_deployment(new).schedules
    assert (schedule.active, schedule.schedule.interval) == (True, timedelta(minutes=7))
    client.delete_deployment(new)


def test_parameters_of_an_older_release_are_kept_as_todays_form_shows_them(client):
    old = {"dataset": None, "recipe": {"shape": 64}, "config": {"epochs": 200, "batch_size": 2, "micro_batch": None}}
    flow_id = client.create_flow(train)
    made = client.create_deployment(flow_id=flow_id, name="older", parameters={"parameters": old})
    yearly = CronSchedule(cron="0 0 1 1 *")
    client.create_deployment_schedules(made, [(yearly, False)], parameters={"parameters": old})
    schema = parameter_schema(train.fn).model_dump_for_openapi()
    with keeping_what_was_set():
        client.create_deployment(flow_id=flow_id, name="older", parameters={}, parameter_openapi_schema=schema)
    found = client.read_deployment(made)
    shown = {"recipe": {"shape": 64}, "epochs": 200, "more": {"batch_size": 2}}
    assert found.parameters == {"parameters": shown}
    assert [schedule.parameters for schedule in found.schedules] == [{"parameters": shown}]
    assert TrainParameters.model_validate(shown) == TrainParameters.model_validate(old)
    client.delete_deployment(made)


def test_a_queue_can_be_paused_while_nothing_waits(client, api):
    """The server's own transactions do not wait for each other: it used to take over a minute."""
    pool = api.post("work_pools/", json={"name": "for-pausing", "type": "process"}).raise_for_status()
    start = time.monotonic()
    for paused in (True, False):
        address = "work_pools/for-pausing/queues/default"
        api.patch(address, json={"is_paused": paused}).raise_for_status()
    assert time.monotonic() - start < 20
    assert pool.json()["name"] == "for-pausing"
