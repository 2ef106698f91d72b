"""Prefect's states, the catalog's and the truth, while processes are starved, stopped and killed."""

import json
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress

import psutil
import pytest
from sqlalchemy import text

from db.engine import make_engine
from db.settings import Settings

pytestmark = pytest.mark.slow

NETWORK = {"architecture": "plain_unet", "filters": 4}  # half of the default network's weights, and of its start
CONFIG = NETWORK | {"epochs": 2000, "patience": 2000, "batch_size": 2, "learning_rate": 3e-3}
RUNS = (
    "SELECT 'training' AS kind, status, flow_run_id FROM training_run UNION ALL "
    "SELECT 'evaluation', status, flow_run_id FROM evaluation"
)


@pytest.fixture(scope="module")
def up(start_up, source, tmp_path_factory):
    """A `kits up` whose home has cases, prepared and split."""
    running = start_up(tmp_path_factory.mktemp("states") / "home")
    running.wait_for(running.start("ingest", {"source": str(source)}), "Completed")
    running.wait_for(running.start("prepare", {"recipe": {"shape": 32}}), "Completed")
    running.wait_for(running.start("split", {}), "Completed")
    yield running
    running.end()


@pytest.fixture
def long(up):
    """Starts trainings that would take hours, each with settings of its own."""
    seeds = iter(range(int(time.time()), 10**10))
    return lambda: up.start("train", {"recipe": {"shape": 32}, "config": CONFIG | {"seed": next(seeds) % 10**6}})


def _processes_of(up, run):
    return [child for child in up.children() if _id_of(child) == run and "prefect.engine" in child.cmdline()]


def _id_of(process):
    try:
        return process.environ().get("PREFECT__FLOW_RUN_ID")
    except psutil.Error:
        return None


def _worker(up, name):
    (found,) = [child for child in up.children() if name in child.cmdline()]
    return found


def _until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "what the test waits for did not come"
        time.sleep(0.2)
    return found


def _asked(up):
    engine = make_engine(Settings(home=up.home).catalog_url)
    with engine.connect().execution_options(reads_only=True) as connection:
        found = [dict(row) for row in connection.execute(text(RUNS)).mappings()]
    engine.dispose()
    return found


def _rows(up):
    return {row["flow_run_id"]: row["status"] for row in _asked(up)}


def _state(up, run):
    return up.http.get(f"flow_runs/{run}").raise_for_status().json()["state_type"]


def _agree(up):
    """Whether the catalog says of every run what Prefect says."""
    return all(_state(up, run).lower() == status for run, status in _rows(up).items())


@contextmanager
def _starved(up):
    """All of `kits up` but its runs gets a fifth of the time, as on a machine that is busy with something else."""
    done = threading.Event()

    def stop_and_go():
        while not done.wait(0.1):
            processes = [psutil.Process(up.process.pid), *_but_runs(up)]
            try:
                for process in processes:
                    with suppress(psutil.Error):
                        process.suspend()
                done.wait(0.4)
            finally:
                for process in processes:
                    with suppress(psutil.Error):
                        process.resume()

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _but_runs(up):
    for child in up.children():
        with suppress(psutil.Error):
            if "prefect.engine" not in child.cmdline():
                yield child


def test_starved_stopped_and_slow_to_begin_a_run_is_not_called_crashed_and_killed_it_is_soon(up, long):
    with _starved(up):
        run = long()
        # It is on its way to begin, and is held up there.
        beginning = _until(lambda: _processes_of(up, run))[0]
        beginning.suspend()
        time.sleep(35)  # two looks of `kits up`, and more than an interval between two signs of life
        assert _state(up, run) == "PENDING"
        beginning.resume()
        up.wait_for(run, "Running")
        _until(lambda: _rows(up).get(run) == "running")
        (stopped,) = _processes_of(up, run)
        stopped.suspend()
        time.sleep(20)
        assert (_state(up, run), _rows(up)[run]) == ("RUNNING", "running")
    stopped.kill()
    up.wait_for(run, "Crashed", seconds=40, may_fail=True)
    _until(lambda: _rows(up)[run] == "crashed", 40)


def test_a_worker_that_is_killed_takes_its_run_with_it_and_all_say_so(up, long):
    begins = long()
    _until(lambda: _processes_of(up, begins))
    _kill_the_worker_of(up, begins)
    # The next one gets the place.
    trains = long()
    _until(lambda: trains in _rows(up))
    _kill_the_worker_of(up, trains)
    again = long()
    up.wait_for(again, "Running", seconds=60)
    body = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    up.http.post(f"flow_runs/{again}/set_state", json=body).raise_for_status()
    up.wait_for(again, "Cancelled", seconds=60)
    _until(lambda: _agree(up), 40)
    assert _rows(up).get(again, "cancelled") == "cancelled"


def _kill_the_worker_of(up, run):
    worker = _worker(up, "gpu-0")
    processes = worker.children(recursive=True)
    worker.kill()
    up.wait_for(run, "Crashed", seconds=60, may_fail=True)
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive
    _until(lambda: _agree(up), 40)
    assert _rows(up).get(run, "crashed") == "crashed"


def test_an_evaluation_that_is_killed_says_so_and_the_next_one_completes_it(up):
    config = CONFIG | {"epochs": 1, "seed": 1}
    up.wait_for(up.start("train", {"recipe": {"shape": 32}, "config": config}), "Completed")
    # An automation starts its evaluation.
    run = _until(
        lambda: [r["flow_run_id"] for r in _asked(up) if (r["kind"], r["status"]) == ("evaluation", "running")]
    )[0]
    (process,) = _processes_of(up, run)
    process.suspend()  # it would be done before it is looked at
    told = json.loads(up.kits("status", "--json"))["going on"]
    (going,) = [row for row in told if row["what"].startswith("evaluation")]
    assert going["dataset"]
    assert going["settings"].endswith("validation")
    assert "by the automation kits: evaluate what was trained" in going["by"]
    process.kill()
    up.wait_for(run, "Crashed", seconds=40, may_fail=True)
    _until(lambda: _rows(up)[run] == "crashed", 40)
    again = up.start("evaluate", {"model": "latest"})
    up.wait_for(again, "Completed")
    assert _rows(up)[again] == "completed"
    assert _agree(up)


def test_a_command_that_is_killed_is_found_while_up_is_up(up):
    words = ["--shape", "32"]
    words += [word for name, value in CONFIG.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = subprocess.Popen([*up.KITS, "train", *words], env=up.environment, stderr=subprocess.DEVNULL)
    _until(lambda: "running" in _rows(up).values())
    ((run, _),) = [(run, status) for run, status in _rows(up).items() if status == "running"]
    command.kill()
    command.wait()
    up.wait_for(run, "Crashed", seconds=40, may_fail=True)
    _until(lambda: _agree(up), 40)
    assert _rows(up)[run] == "crashed"


def test_when_up_itself_ends_in_any_way_status_tells_the_truth_and_the_next_up_too(start_up, up, long):
    asked_to_end = _end_while_it_trains(up, long(), signal.SIGTERM, start_up)
    run = asked_to_end.start("train", {"recipe": {"shape": 32}, "config": CONFIG | {"seed": int(time.time()) % 1000}})
    _end_while_it_trains(asked_to_end, run, signal.SIGKILL, start_up).end()


def _end_while_it_trains(up, run, how, start_up):
    """The next `kits up` of the same home."""
    up.wait_for(run, "Running")
    _until(lambda: _rows(up).get(run) == "running")
    processes = up.children()
    up.end(how)
    _, alive = psutil.wait_procs(processes, timeout=40)
    assert not alive
    told = json.loads(up.kits("status", "--json"))
    assert "running" not in {row["status"] for row in told["runs"]}
    assert _rows(up)[run] == "crashed"
    following = start_up(up.home)
    following.wait_for(run, "Crashed", seconds=40, may_fail=True)
    assert _agree(following)
    return following
