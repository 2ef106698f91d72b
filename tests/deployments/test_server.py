import os
import signal
import subprocess
import sys
import time

import httpx

from deployments.server import prefect_server

CODE = """
import sys, time
from pathlib import Path
from deployments.server import prefect_server
with prefect_server(Path(sys.argv[1])) as url:
    print(url, flush=True)
    time.sleep(600)
"""


def test_the_server_ends_with_a_killed_parent_where_it_is_to_wait_for_no_other(with_prefects_tables, tmp_path):
    with_prefects_tables(tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        url = parent.stdout.readline().strip()
        assert httpx.get(f"{url}/health", trust_env=False).is_success
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(f"{url}/health", timeout=2, trust_env=False)
        except httpx.TransportError:
            return
        time.sleep(0.2)
    raise AssertionError(f"{url} still answers")


def test_a_configured_server_is_used_and_none_is_started(tmp_path, monkeypatch, prefect_api):
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    with prefect_server(tmp_path) as url:
        assert url == prefect_api
    assert list(tmp_path.iterdir()) == []
    assert httpx.get(f"{prefect_api}/health", trust_env=False).is_success


def test_prefects_own_server_still_imports():
    # The pins in pyproject.toml exist because newer releases of its dependencies broke just this.
    assert subprocess.run([sys.executable, "-c", "import prefect.server.api.server"], check=False).returncode == 0
