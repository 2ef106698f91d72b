import threading
import time
from contextvars import ContextVar
from functools import partial

import pytest

from kits_core.errors import KitsError
from tasks import beside
from tasks.beside import Beside

WHO = ContextVar("who", default="nobody")


def _fail(error):
    pytest.fail(str(error))


def test_jobs_are_done_in_turn_in_the_context_of_whoever_made_it():
    WHO.set("a flow run")
    done = []
    thread = Beside("test", _fail)

    def job(number):
        done.append((number, WHO.get(), threading.current_thread().name))

    for number in range(5):
        thread.put(number, partial(job, number))
    thread.close(10)
    assert done == [(number, "a flow run", "test") for number in range(5)]


def test_a_newer_job_takes_the_place_of_one_of_its_key_that_has_not_begun():
    begun, go_on, done = threading.Event(), threading.Event(), []
    thread = Beside("test", _fail)

    def first():
        begun.set()
        go_on.wait(10)

    thread.put("first", first)
    begun.wait(10)
    for number in range(100):
        thread.put("progress", partial(done.append, number))
    go_on.set()
    thread.close(10)
    assert done == [99]


def test_what_hangs_holds_nobody_up():
    thread = Beside("test", _fail)
    thread.put("hangs", lambda: threading.Event().wait(60))
    start = time.monotonic()
    for number in range(1000):
        thread.put(number, pytest.fail)
    assert time.monotonic() - start < 1
    thread.close(0.2)
    assert time.monotonic() - start < 5


def test_a_job_that_raises_is_left_and_the_next_ones_are_done():
    told, done = [], []
    thread = Beside("test", told.append)
    thread.put("raises", lambda: 1 / 0)
    thread.put("goes well", lambda: done.append("it"))
    thread.close(10)
    assert [type(error) for error in told] == [ZeroDivisionError]
    assert done == ["it"]


def test_where_jobs_are_tried_again_none_is_lost_and_their_order_stays(monkeypatch):
    monkeypatch.setattr(beside, "_RETRY_S", 0.05)
    told, done, away = [], [], [OSError("away")] * 3

    def record(epoch):
        if away:
            raise away.pop()
        done.append(epoch)

    thread = Beside("test", told.append, retry=True)
    for epoch in (1, 2, 3):
        thread.put(epoch, partial(record, epoch))
    thread.close(10)
    assert done == [1, 2, 3]
    assert len(told) == 1  # said once, however often it is tried


def test_what_could_not_be_done_in_time_is_an_error_where_it_counts(monkeypatch):
    monkeypatch.setattr(beside, "_RETRY_S", 0.05)
    thread = Beside("test", lambda _: None, retry=True)
    thread.put("raises", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        thread.close(0.3)
    hanging = Beside("records", lambda _: None, retry=True)
    hanging.put("hangs", lambda: threading.Event().wait(60))
    with pytest.raises(KitsError, match="records: expected to finish within 0 s, but it did not; see what keeps"):
        hanging.close(0.3)
