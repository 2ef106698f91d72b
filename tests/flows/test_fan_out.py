import threading
import time
from typing import Any

import pytest
from prefect import flow, task

from flows.fan_out import Outcome, fan_out, task_runner

pytestmark = pytest.mark.usefixtures("prefect_api")


@flow(task_runner=task_runner())
def _flow(items, submit, workers) -> list[Outcome[Any]]:
    return fan_out("test", items, submit, workers=workers)


def _chain(item, first, second):
    one = first.submit(item)
    return [one, second.submit(item, wait_for=[one])]


def test_at_most_so_many_items_at_once_and_outcomes_in_order():
    running, most, lock = 0, 0, threading.Lock()

    @task
    def work(item):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
        return item * 2

    outcomes = _flow(list(range(12)), lambda item: [work.submit(item)], 3)
    assert [outcome.result for outcome in outcomes] == [item * 2 for item in range(12)]
    assert 1 < most <= 3


def test_a_failed_item_stops_no_other_and_a_broken_chain_is_told_by_its_first_error():
    ran = []

    @task
    def first(item):
        if item == 1:
            raise ValueError("no good")

    @task
    def second(item):
        ran.append(item)

    outcomes = _flow([0, 1, 2], lambda item: _chain(item, first, second), 2)
    assert [str(outcome.error) for outcome in outcomes] == ["None", "no good", "None"]
    assert sorted(ran) == [0, 2]


def test_the_next_item_starts_while_the_second_task_of_one_still_runs():
    running, most, lock = {"first": 0, "second": 0}, {"first": 0, "second": 0}, threading.Lock()

    def busy(name, seconds):
        with lock:
            running[name] += 1
            most[name] = max(most[name], running[name])
        time.sleep(seconds)
        with lock:
            running[name] -= 1

    @task
    def first(_item):
        busy("first", 0.01)

    @task
    def second(_item):
        busy("second", 0.3)

    _flow(list(range(8)), lambda item: _chain(item, first, second), 2)
    assert most == {"first": 2, "second": 4}


def test_no_items():
    assert _flow([], lambda item: [], 2) == []


def test_the_dashboard_shows_how_far_a_long_stage_is(artifact, monkeypatch):
    monkeypatch.setattr("flows.fan_out._BAR_EVERY_S", 0.0)

    @task
    def work(item):
        time.sleep(0.05)

    _flow(list(range(4)), lambda item: [work.submit(item)], 1)
    bar = artifact("test-progress")
    assert (bar["type"], bar["data"], bar["description"]) == ("progress", 100.0, "test: 4 of 4 cases")
