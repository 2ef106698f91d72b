"""Seconds from `kits up` until the dashboard answers with every deployment there: a fresh home, and its second start.

python tests/benchmarks/bench_up.py
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import yaml
from common import medians, show_markdown
from server_client import asking

from kits_core.errors import KitsError

_KITS = [sys.executable, "-c", "from deployments.cli import main; main()"]
_ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 300.0


def seconds_until_usable(home: Path, deployments: int) -> float:
    """Start, wait for the page and the list of deployments, end."""
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [*_KITS, "up", "--port", str(port)],
        env=environment | {"KITS_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not _usable(home, f"http://127.0.0.1:{port}", deployments):
            assert process.poll() is None, f"kits up ended with {process.returncode}"
            assert time.perf_counter() - start < _TIMEOUT_S
            time.sleep(0.1)
        return time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _usable(home: Path, address: str, deployments: int) -> bool:
    try:
        page = httpx.get(address, timeout=10, trust_env=False, follow_redirects=True)
        with asking(home, f"{address}/api") as client:
            found = client.post("deployments/filter", json={})
    except (httpx.HTTPError, KitsError):
        return False
    return page.is_success and "<html" in page.text and found.is_success and len(found.json()) == deployments


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round")
    given = parser.parse_args()
    declared = yaml.safe_load((_ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    found: dict[str, list[float]] = {"a fresh home": [], "its second start": []}
    for _ in range(1 if given.quick else given.rounds):
        with tempfile.TemporaryDirectory() as name:
            for values in found.values():
                values.append(seconds_until_usable(Path(name), len(declared)))
    show_markdown(
        f"kits up, {os.cpu_count()} cores, {len(declared)} deployments",
        [{"start": start, "seconds": seconds} for start, seconds in medians(found).items()],
    )


if __name__ == "__main__":
    main()
