"""`kits up` as a user starts it, for the tests that need one."""

import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from prefect import get_client
from server_client import asking

from kits_core.phantom.dataset import write_phantoms


class Up:
    """A `kits up` in a process of its own."""

    KITS = (sys.executable, "-c", "from deployments.cli import main; main()")

    def __init__(self, home, *words):
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.api = f"http://127.0.0.1:{self.port}/api"
        self.environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        self.environment |= {"KITS_HOME": str(home)}
        self.process = subprocess.Popen(
            [*self.KITS, "up", "--port", str(self.port), *words],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.lines = []
        for line in self.process.stdout:
            self.lines.append(line)
            if "Ctrl-C ends everything" in line:
                self.http = asking(home, self.api)
                self.link = self.lines[-2].removeprefix("dashboard: ").strip()
                return
        raise AssertionError("".join(self.lines))

    def ask(self, path, **body):
        return self.http.post(path, json=body).raise_for_status().json()

    def children(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def start(self, deployment, parameters):
        (found,) = [d for d in self.ask("deployments/filter") if d["name"] == deployment]
        body = {"parameters": {"parameters": parameters}, "state": {"type": "SCHEDULED"}}
        answer = self.http.post(f"deployments/{found['id']}/create_flow_run", json=body)
        return answer.raise_for_status().json()["id"]

    def wait_for(self, run, *states, seconds=240, may_fail=False):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.http.get(f"flow_runs/{run}").raise_for_status().json()
            if found["state_name"] in states:
                return found
            assert may_fail or found["state_type"] not in {"FAILED", "CRASHED"}, (
                found["name"],
                found["state"]["message"],
            )
            time.sleep(1)
        raise AssertionError(f"{found['name']} is {found['state_name']}, not {states}")

    def kits(self, *words):
        done = subprocess.run([*self.KITS, *words], env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def end(self, how=signal.SIGINT):
        self.process.send_signal(how)
        self.process.wait(60)


@pytest.fixture(scope="session", name="start_up")
def _up(with_prefects_tables):
    class WithTables(Up):
        def __init__(self, home, *words):
            if "--database" not in words and not home.exists():
                with_prefects_tables(home)
            super().__init__(home, *words)

    return WithTables


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """Six small phantom patients in the official layout."""
    root = tmp_path_factory.mktemp("source")
    write_phantoms(root, 6, 3, shape=(24, 64, 64), spacing_mm=(8.0, 5.0, 5.0))
    return root


@pytest.fixture
def client(prefect_api, monkeypatch):
    """A client of the session's server, which this process's other clients use too."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with get_client(sync_client=True) as opened:
        yield opened
