"""Runs that nobody is at: on a real server, with real processes."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from prefect import flow
from prefect.states import Cancelling, Completed, Pending, Running

from db.at_work import flow_run_file
from db.settings import Settings
from deployments import dead_runs
from deployments.dead_runs import set_right
from kits_core.at_work import hold


@flow
def nothing():
    """A flow to have runs of."""


@pytest.fixture
def deployment(client):
    made = client.create_deployment(flow_id=client.create_flow(nothing), name="ours", tags=["kits"])
    yield made
    client.delete_deployment(made)


@pytest.fixture
def begin(client, home):
    """Makes runs in a state, which are removed at the end: the session's tests share the server."""
    made = []

    def run(state, deployment=None):
        if deployment is not None:
            made.append(client.create_flow_run_from_deployment(deployment, state=Pending()))
        else:
            made.append(client.create_flow_run(nothing))
        client.set_flow_run_state(made[-1].id, state, force=True)
        return made[-1]

    yield run
    for one in made:
        client.delete_flow_run(one.id)


@pytest.fixture
def state(client):
    return lambda run: client.read_flow_run(run.id).state.type.value


@pytest.mark.parametrize(
    ("begun", "end"), [(Pending(), "CRASHED"), (Running(), "CRASHED"), (Cancelling(), "CANCELLED")]
)
def test_a_run_is_ended_once_nobody_holds_its_file_and_not_before(begin, state, begun, end):
    run = begin(begun)
    file = flow_run_file(Settings(), run.id)
    with hold(file):
        assert not [line for line in set_right(Settings()) if run.name in line]
        assert state(run) == begun.type.value
    (line,) = [line for line in set_right(Settings()) if run.name in line]
    assert line == f"{run.name}: its process is gone, {end.lower()}"
    assert state(run) == end
    assert not file.exists()
    assert not [line for line in set_right(Settings()) if run.name in line]


def test_a_run_whose_process_is_on_its_way_is_left_though_its_worker_is_gone(begin, state):
    run = begin(Pending())
    hold(flow_run_file(Settings(), run.id)).close()
    starting = subprocess.Popen(
        [sys.executable, "-c", "import time; print('there', flush=True); time.sleep(600)"],
        env=os.environ | {"PREFECT__FLOW_RUN_ID": str(run.id)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert starting.stdout.readline() == "there\n"
    try:
        set_right(Settings())
        assert state(run) == "PENDING"
    finally:
        starting.kill()
        starting.communicate()
    set_right(Settings())
    assert state(run) == "CRASHED"


def test_a_run_without_a_file_is_ended_where_that_can_only_mean_one_thing(begin, state, deployment, monkeypatch):
    taken, command = begin(Pending(), deployment), begin(Running())
    set_right(Settings())
    assert (state(taken), state(command)) == ("PENDING", "RUNNING")
    monkeypatch.setattr(dead_runs, "_WITHOUT_A_FILE", timedelta(0))
    set_right(Settings())
    assert (state(taken), state(command)) == ("CRASHED", "RUNNING")
    set_right(Settings(), alone=True)
    assert state(command) == "CRASHED"


def test_runs_of_other_peoples_flows_are_left(begin, state, client, monkeypatch):
    monkeypatch.setattr(dead_runs, "_WITHOUT_A_FILE", timedelta(0))
    made = client.create_deployment(flow_id=client.create_flow(nothing), name="theirs")
    run = begin(Running(), made)
    set_right(Settings(), alone=True)
    assert state(run) == "RUNNING"
    client.delete_deployment(made)


def test_a_run_that_ended_since_it_was_read_keeps_its_end_and_its_file_goes(begin, state, client, monkeypatch):
    run = begin(Running())
    file = flow_run_file(Settings(), run.id)
    hold(file).close()

    def ends_first(flow_run_id):
        client.set_flow_run_state(run.id, Completed(), force=True)
        return False

    monkeypatch.setattr(dead_runs, "_has_a_process", ends_first)
    set_right(Settings())
    assert state(run) == "COMPLETED"
    assert not file.exists()
