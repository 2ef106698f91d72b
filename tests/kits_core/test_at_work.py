import fcntl
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

from kits_core.at_work import AtWork, hold, is_held, read

HOLDER = """
import sys, time
from pathlib import Path
from kits_core.at_work import AtWork, hold
file = hold(Path(sys.argv[1]), AtWork.now("train", "from the command line"))
print("held", flush=True)
time.sleep(600)
"""


def _holder(path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    return holder


def test_work_is_held_until_the_last_process_at_it_is_gone_however_it_goes(tmp_path):
    path = tmp_path / "flow-runs" / "1.lock"
    assert not is_held(path)
    worker = hold(path)
    run = _holder(path)
    assert is_held(path)
    worker.close()
    assert is_held(path)
    run.kill()
    run.communicate()
    assert not is_held(path)
    assert path.is_file()


def test_who_is_at_it_says_so(tmp_path):
    path = tmp_path / "1.lock"
    with hold(path):
        assert read(path) is None
        run = _holder(path)
        said = read(path)
        run.kill()
        run.communicate()
    assert (said.pid, said.what, said.how) == (run.pid, "train", "from the command line")
    assert said.user
    assert said.host
    assert datetime.now(UTC) - said.since < timedelta(minutes=1)
    with hold(path, AtWork.now("evaluate", "from the dashboard")):
        assert (read(path).pid, read(path).what) == (os.getpid(), "evaluate")


def test_a_torn_file_and_none_say_nothing(tmp_path):
    (tmp_path / "torn.lock").write_text('{"since": "2026-')
    assert read(tmp_path / "torn.lock") is None
    assert read(tmp_path / "none.lock") is None


def test_a_file_that_is_removed_as_it_is_taken_is_made_again(tmp_path, monkeypatch):
    path = tmp_path / "1.lock"
    flock, removed = fcntl.flock, []

    def remove_first(file, how):
        if not removed:
            removed.append(path.unlink())
        flock(file, how)

    monkeypatch.setattr("fcntl.flock", remove_first)
    with hold(path):
        monkeypatch.undo()
        assert is_held(path)
