"""The home's server through its life: started, shared, idle, killed, replaced, never in the next command's way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from deployments.home_note import Note, prefect_home, read_note
from deployments.home_server import Waiting, answers, home_server, is_held, retire, running_server, starting
from kits_core.errors import KitsError

pytestmark = pytest.mark.slow

USER = """
import sys, time
from pathlib import Path
from deployments.home_server import home_server
with home_server(Path(sys.argv[1]), float(sys.argv[2])) as url:
    print(url, flush=True)
    time.sleep(float(sys.argv[3]))
"""

HOLDER = """
import fcntl, sys, time
with open(sys.argv[1], "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _not_configured(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture
def place(tmp_path, with_prefects_tables):
    """A home whose server is ended with the test, whatever the test came to."""
    yield with_prefects_tables(tmp_path)
    note = read_note(prefect_home(tmp_path) / "server.json")
    if note is not None and psutil.pid_exists(note.pid):
        os.kill(note.pid, signal.SIGKILL)


def _user(home, idle_s, seconds):
    command = [sys.executable, "-c", USER, str(home), str(idle_s), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _note(home):
    return read_note(prefect_home(home) / "server.json")


def _until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not come"
        time.sleep(0.05)


def _gone(note):
    return not psutil.pid_exists(note.pid) or psutil.Process(note.pid).status() == psutil.STATUS_ZOMBIE


def test_it_outlives_its_command_serves_the_next_and_ends_when_idle(place):
    with home_server(place, 3.0) as first:
        note = _note(place)
        assert note.api_url == first
        time.sleep(4)
        assert answers(first)  # somebody uses it
    began = time.monotonic()
    with home_server(place, 3.0) as second:
        assert second == first
    assert time.monotonic() - began < 2
    time.sleep(1)
    assert answers(first)
    _until(lambda: _gone(note))
    assert not is_held(prefect_home(place) / "server.lock")
    assert _note(place) is None


def test_commands_at_the_same_instant_share_one_and_a_killed_one_leaves_nothing_in_the_way(place):
    users = [_user(place, 600, 600) for _ in range(3)]
    addresses = {user.stdout.readline().strip() for user in users}
    assert len(addresses) == 1
    note = _note(place)
    for user in users:
        user.kill()
        user.communicate()
    assert answers(note.api_url)
    alone = []
    with home_server(place, 600, alone=alone.append) as again:
        assert alone == [again] == [note.api_url]
    # Killed itself, it leaves a note that says nothing.
    os.kill(note.pid, signal.SIGKILL)
    _until(lambda: not is_held(prefect_home(place) / "server.lock"))
    assert running_server(place) is None
    with home_server(place, 0) as third:
        assert answers(third)
        assert _note(place).pid != note.pid


def test_a_command_killed_while_its_server_starts_leaves_one_for_the_next(place):
    user = _user(place, 600, 0)
    _until(lambda: is_held(prefect_home(place) / "server.lock"))
    user.kill()
    user.communicate()
    assert _note(place) is None
    with home_server(place, 0) as url:
        assert answers(url)
        assert len([p for p in psutil.process_iter(["cmdline"]) if str(place) in (p.info["cmdline"] or [])]) == 1
    retire(place)


def test_only_who_is_alone_looks_for_what_was_left_and_others_wait_for_it(place):
    order = []

    def tidy(_):
        thread.start()
        order.append("tidies")
        time.sleep(1)
        order.append("is done")

    def second():
        with home_server(place, 0, alone=lambda _: order.append("alone too")):
            order.append("second begins")

    thread = threading.Thread(target=second)
    with home_server(place, 0, alone=tidy):
        thread.join(30)
    assert order == ["tidies", "is done", "second begins"]


def test_who_waits_for_another_that_starts_a_server_says_so(place, monkeypatch):
    monkeypatch.setattr("deployments.home_server._STATES_EVERY_S", 0.3)
    prefect_home(place).mkdir(exist_ok=True)
    said, begun = [], threading.Event()

    def second():
        with starting(place, said.append):
            begun.set()

    thread = threading.Thread(target=second)
    with starting(place):
        thread.start()
        _until(lambda: said)
        assert not begun.is_set()
    thread.join(30)
    assert begun.is_set()
    assert said[0] == "waits for another command of this home, which starts a Prefect server, 0 s so far"


def test_a_wait_is_said_however_long_the_looks_between_take(monkeypatch):
    monkeypatch.setattr("deployments.home_server._STATES_EVERY_S", 0.3)
    said = []
    waiting = Waiting("a server to start", said.append)
    time.sleep(0.35)  # a look at a server that is slow to answer
    waiting.a_moment()
    waiting.a_moment()
    assert said == ["waits for a server to start, 0 s so far"]


def test_one_of_another_prefect_is_replaced_and_ends_with_its_last_user(place):
    user = _user(place, 600, 6)
    first = user.stdout.readline().strip()
    path = prefect_home(place) / "server.json"
    note = _note(place)
    path.write_text(json.dumps({"api_url": first, "pid": note.pid, "prefect": "2.0", "password": True}))
    with home_server(place, 0) as second:
        assert second != first
        assert answers(first)  # its user is at work still
        user.communicate()
    _until(lambda: _gone(note))


def test_one_of_a_release_without_passwords_is_asked_to_end(place, prefect_api, monkeypatch):
    path = prefect_home(place) / "server.json"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path.with_name("server.lock"))], stdout=subprocess.PIPE, text=True
    )
    monkeypatch.setenv("KITS_SERVER_START_MINUTES", "0.01")
    try:
        assert holder.stdout.readline() == "held\n"
        path.write_text(json.dumps({"api_url": prefect_api, "pid": holder.pid, "prefect": version("prefect")}))
        with pytest.raises(KitsError, match="expected an answer"):
            running_server(place)
    finally:
        holder.kill()
        holder.communicate()
    assert not path.exists()


def test_retired_it_ends_at_once_where_nobody_uses_it(place):
    with home_server(place, 600):
        note = _note(place)
    retire(place)
    assert not is_held(prefect_home(place) / "server.lock")
    _until(lambda: _gone(note))


def test_the_server_of_kits_up_comes_first_and_the_homes_own_makes_room_for_it(place, prefect_api):
    folder = prefect_home(place)
    with home_server(place, 600):
        own = _note(place)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder / "up.lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        (folder / "up.json").write_text(json.dumps(vars(Note(prefect_api, holder.pid, "3"))))
        _until(lambda: _gone(own))
        alone = []
        with home_server(place, 600, alone=alone.append) as url:
            assert url == prefect_api
        assert alone == []  # runs of its workers are none of a command's
        assert _note(place) is None
    finally:
        holder.kill()
        holder.communicate()
    assert running_server(place) is None  # a note without its lock says nothing


def test_a_home_that_is_deleted_takes_its_server_with_it(tmp_path):
    home = tmp_path / "home"
    with home_server(home, 600):
        note = _note(home)
    for path in sorted(home.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    _until(lambda: _gone(note))


def test_where_a_server_cannot_start_the_log_is_named(place, monkeypatch):
    monkeypatch.setenv("PREFECT_SERVER_DATABASE_CONNECTION_URL", "sqlite+aiosqlite:////nowhere/at/all.db")
    told = r"Prefect server: expected an answer .* it ended with status \d+; read .*server.log"
    with pytest.raises(KitsError, match=told), home_server(place, 0):
        pass
    assert Path(prefect_home(place) / "server.log").stat().st_size > 0
