"""A scheduled ingestion that finds nothing new: 489 catalogued cases, from a folder and from a host.

The host states no list of hashes, so that every file is asked for. Wall time of the flow with a Prefect server that
runs, and the requests and bytes that the host saw.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from common import ROUNDS, serving, show, write_dataset

os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"


def main() -> None:
    """Print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="40 cases, one round")
    quick = parser.parse_args().quick
    cases, rounds = (40, 1) if quick else (489, ROUNDS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder / "served", cases, (12, 48, 48))
        os.environ["KITS_HOME"] = str(folder / "home")
        from deployments.server import prefect_server

        with serving(folder / "served") as server, prefect_server(folder / "prefect"):
            from flows.ingest import ingest
            from flows.parameters import IngestParameters

            rows: list[dict[str, object]] = []
            for title, source in (("folder", str(folder / "served")), ("host", server.address)):
                parameters = IngestParameters(source=source, dataset=title)
                start = time.perf_counter()
                assert ingest(parameters).brought_in == cases
                first = time.perf_counter() - start
                seconds, before = [], server.counts()
                for _ in range(rounds):
                    start = time.perf_counter()
                    assert ingest(parameters).brought_in == 0
                    seconds.append(time.perf_counter() - start)
                after = server.counts()
                rows.append(
                    {
                        "source": title,
                        "cases": cases,
                        "first run, s": first,
                        "run without news, s": statistics.median(seconds),
                        "requests a run": (after[0] - before[0]) / rounds,
                        "bytes a run": (after[1] - before[1]) / rounds,
                    }
                )
        shutil.rmtree(folder / "home")
    show(f"ingesting again, {os.cpu_count()} cores", rows)


if __name__ == "__main__":
    main()
