"""`kits up` as a user starts and ends it: a real server, real workers, real runs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import psutil
import pytest
from sqlalchemy import text

from db.engine import open_catalog
from db.settings import Settings
from kits_core.phantom.dataset import write_phantoms

pytestmark = pytest.mark.slow

KITS = [sys.executable, "-c", "from deployments.cli import main; main()"]
RECIPE = {"shape": 32}
CONFIG = {"epochs": 1, "batch_size": 2, "filters": 4, "learning_rate": 3e-3}


class Up:
    """A `kits up` in a process of its own."""

    def __init__(self, home, *words):
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        self.environment |= {"KITS_HOME": str(home)}
        self.process = subprocess.Popen(
            [*KITS, "up", "--port", str(self.port), *words],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line)
            if "Ctrl-C ends everything" in line:
                return
        raise AssertionError("".join(self.lines))

    def ask(self, path, **body):
        return httpx.post(f"{self.api}/{path}", json=body, timeout=60, trust_env=False).raise_for_status().json()

    def children(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def start(self, deployment, parameters):
        (found,) = [d for d in self.ask("deployments/filter") if d["name"] == deployment]
        body = {"parameters": {"parameters": parameters}, "state": {"type": "SCHEDULED"}}
        answer = httpx.post(f"{self.api}/deployments/{found['id']}/create_flow_run", json=body, trust_env=False)
        return answer.raise_for_status().json()["id"]

    def wait_for(self, run, *states, seconds=240):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = httpx.get(f"{self.api}/flow_runs/{run}", trust_env=False).raise_for_status().json()
            if found["state_name"] in states:
                return found
            assert found["state_type"] not in {"FAILED", "CRASHED"}, (found["name"], found["state"]["message"])
            time.sleep(1)
        raise AssertionError(f"{found['name']} is {found['state_name']}, not {states}")

    def kits(self, *words):
        done = subprocess.run([*KITS, *words], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self, how=signal.SIGINT):
        self.process.send_signal(how)
        self.process.wait(60)


def _gone(processes, seconds=40):
    _, left = psutil.wait_procs(processes, timeout=seconds)
    return not left


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("source")
    write_phantoms(root, 6, 3, shape=(24, 64, 64), spacing_mm=(8.0, 5.0, 5.0))
    return root


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    running = Up(tmp_path_factory.mktemp("up") / "home")
    yield running
    running.end()


def test_pools_queues_deployments_and_automations_are_there(up):
    pools = {pool["name"]: pool["concurrency_limit"] for pool in up.ask("work_pools/filter")}
    assert pools == {"cpu": 4, "gpu": 1}
    queues = {queue["name"]: queue for queue in up.ask("work_pools/cpu/queues/filter")}
    assert queues["night"]["concurrency_limit"] == 1
    deployments = {d["name"]: d for d in up.ask("deployments/filter")}
    assert {"ingest-kits23", "prepare", "train", "cross-validate", "evaluate", "pipeline"} <= set(deployments)
    assert deployments["train"]["work_pool_name"] == "gpu"
    nightly = deployments["ingest-kits23"]
    assert nightly["work_queue_name"] == "night"
    assert nightly["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    ((schedule, active),) = [(s["schedule"], s["active"]) for s in nightly["schedules"]]
    assert (schedule["timezone"], active) == ("Europe/Berlin", False)
    assert all(d["description"] and d["tags"] and d["version"] for d in deployments.values())
    enabled = {a["name"]: a["enabled"] for a in up.ask("automations/filter")}
    assert enabled == {
        "kits: prepare what changed": True,
        "kits: evaluate what was trained": True,
        "kits: train on what changed": False,
        "kits: end what stopped answering": True,
    }


def test_a_second_one_says_where_the_first_is(up):
    assert f"it is up already: http://127.0.0.1:{up.port}" in up.kits("up")


def test_a_bad_parameter_is_refused_before_a_run_exists(up):
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        up.start("train", {"config": {"epochs": 0}})


def test_a_pipeline_from_the_dashboards_api_and_what_sql_says_then(up, source):
    parameters = {"source": str(source), "dataset": "phantoms", "recipe": RECIPE, "config": CONFIG}
    done = up.wait_for(up.start("pipeline", parameters), "Completed")
    assert done["name"] == f"pipeline · {source}"
    (row,) = json.loads(up.kits("sql", "SELECT tumor_dice, kidney_dice FROM leaderboard", "--json"))
    artifacts = {a["key"]: a["data"] for a in up.ask("artifacts/latest/filter")}
    assert f"| {row['kidney_dice']:.3f} |" in artifacts["evaluation"]
    # The pipeline goes on by itself: no automation has started anything beside it.
    names = {run["name"].partition(" ")[0] for run in up.ask("flow_runs/filter")}
    assert names == {"pipeline", "ingest", "prepare", "split", "train", "evaluate"}
    assert len(up.ask("flow_runs/filter")) == 6


def test_what_was_trained_is_evaluated_by_itself_and_commands_share_the_server(up, source):
    text_out = up.kits("train", "--shape", "32", "--epochs", "1", "--batch-size", "2", "--filters", "8", "--json")
    model = json.loads(text_out)[0]["model_id"]
    deadline = time.monotonic() + 120
    while not (
        runs := [r for r in up.ask("flow_runs/filter") if r["name"] == f"evaluate · model {model} · validation"]
    ):
        assert time.monotonic() < deadline
        time.sleep(1)
    up.wait_for(runs[0]["id"], "Completed")
    assert runs[0]["deployment_id"]


def test_two_trainings_at_once_take_turns(up):
    first, second = (up.start("train", {"recipe": RECIPE, "config": CONFIG | {"seed": seed}}) for seed in (1, 2))
    ended = [up.wait_for(run, "Completed") for run in (first, second)]
    assert ended[0]["end_time"] <= ended[1]["start_time"]


def test_what_dies_is_started_again(up):
    worker = next(child for child in up.children() if "cpu" in child.cmdline())
    worker.kill()
    deadline = time.monotonic() + 60
    while not any("cpu" in child.cmdline() for child in up.children() if child.pid != worker.pid):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_an_end_by_ctrl_c_and_one_by_a_kill_leave_no_process(tmp_path):
    for how in (signal.SIGINT, signal.SIGKILL):
        running = Up(tmp_path / "home")
        processes = running.children()
        assert len(processes) >= 3
        running.end(how)
        assert _gone(processes)
        with pytest.raises(httpx.ConnectError):
            running.ask("deployments/filter")


def test_a_server_for_others_needs_a_password(tmp_path):
    done = subprocess.run(
        [*KITS, "up", "--host", "0.0.0.0"],
        env=os.environ | {"KITS_HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "set PREFECT_SERVER_API_AUTH_STRING=user:password" in done.stderr


def test_a_port_that_is_taken_is_said(up, tmp_path):
    done = subprocess.run(
        [*KITS, "up", "--port", str(up.port)],
        env=os.environ | {"KITS_HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "choose another with --port" in done.stderr


def test_the_catalog_of_it_can_be_asked_directly(up, monkeypatch):
    monkeypatch.setenv("KITS_HOME", str(up.home))
    with open_catalog(Settings()).connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM case_overview")).scalar() == 6
