"""Bringing in 24 cases from a host with latency and a cap on each connection, against the official package's way.

The host adds 100 ms to every answer and sends at most 20 MB/s over one connection. Theirs: one `urlretrieve` after the
other, and nothing else. Ours: `kits ingest` into an empty home, from the start of the command to its end, with probes,
hashes, conversion and catalog; once against a Prefect server that runs, as on a machine that is used, and once with all
that a first start makes: Prefect's tables and a server of its own. Real KiTS23 images average 92 MB, as these do.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import ROUNDS, in_turn, medians, serving, show, write_dataset

_THEIRS = """
import sys, urllib.request
for number in range(int(sys.argv[3])):
    urllib.request.urlretrieve(f"{sys.argv[1]}/case_{number:05d}/imaging.nii.gz", f"{sys.argv[2]}/{number}.nii.gz")
"""
_OURS = "from deployments.cli import main; main()"


def theirs(address: str, cases: int) -> float:
    """Seconds of the serial download."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", _THEIRS, address, folder, str(cases)], check=True)
        return time.perf_counter() - start


def ours(address: str, cases: int, api_url: str | None) -> float:
    """Seconds of `kits ingest`, and a look that everything is in."""
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        environment |= {"PREFECT_API_URL": api_url} if api_url else {}
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", _OURS, "ingest", "--source", address, "--dataset", "bench"],
            env=environment | {"KITS_HOME": home},
            check=True,
            capture_output=True,
        )
        seconds = time.perf_counter() - start
        assert len(list(Path(home).glob("raw/bench/*/imaging.nii"))) == cases
        return seconds


def main() -> None:
    """Print medians, and how many times faster than serial each is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller files, one round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    cases, shape, rounds = (8, (20, 256, 256), 1) if given.quick else (24, (230, 512, 512), given.rounds)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        size = write_dataset(root / "served", cases, shape)
        from deployments.server import prefect_server

        with (
            serving(root / "served", latency_s=0.1, bytes_per_s=20e6) as server,
            prefect_server(root / "prefect") as api_url,
        ):
            found = in_turn(
                {
                    "urlretrieve, serial": lambda: theirs(server.address, cases),
                    "kits ingest, server running": lambda: ours(server.address, cases, api_url),
                    "kits ingest, first start": lambda: ours(server.address, cases, None),
                },
                rounds,
            )
    taken = medians(found)
    serial = taken["urlretrieve, serial"]
    show(
        f"{cases} cases, {size / 1e9:.2f} GB of images, {os.cpu_count()} cores, median of {rounds}",
        [{"way": way, "seconds": seconds, "times faster": serial / seconds} for way, seconds in taken.items()],
    )


if __name__ == "__main__":
    main()
