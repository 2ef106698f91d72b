"""`kits prepare` on a Dask cluster of two processes on this machine, against one process and two without Dask.

    python tests/benchmarks/bench_dask.py [--home HOME]

HOME holds ingested cases, as `real_masks.py` makes it; without it, 40 phantoms are ingested. `KITS_DASK=local` starts
its cluster with the flow and ends it after; the other cluster runs before the flow begins. Each round makes every case
anew, as in `bench_prepare_flow.py`.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ |= {"PREFECT_LOGGING_LEVEL": "ERROR", "DASK_LOGGING__DISTRIBUTED": "error"}

from bench_prepare_flow import flow, ingest_phantoms
from common import in_turn, medians, show_markdown


def main() -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="eight phantoms, one round")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        from deployments.server import prefect_server

        os.environ["KITS_HOME"] = str(given.home or Path(name) / "home")
        with prefect_server(Path(name) / "prefect"):
            if given.home is None:
                ingest_phantoms(Path(name) / "phantoms", 8 if given.quick else 40)
            found = medians(_measure(1 if given.quick else given.rounds))
    one = found["one process"]
    show_markdown(
        f"kits prepare --frame kidneys, {os.cpu_count()} cores",
        [{"way": way, "seconds": seconds, "times faster": one / seconds} for way, seconds in found.items()],
    )


def _measure(rounds: int) -> dict[str, list[float]]:
    from distributed import LocalCluster

    flow(1)
    # Its processes are told of the home by being started now.
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:  # type: ignore[no-untyped-call]  # Dask has no types
        address = cluster.scheduler_address
        flow(2, address)
        ways = {
            "one process": lambda: flow(1),
            "two processes": lambda: flow(2),
            "two of a Dask cluster, `KITS_DASK=local`": lambda: flow(2, "local"),
            "two of a Dask cluster that runs": lambda: flow(2, address),
        }
        return in_turn(ways, rounds)


if __name__ == "__main__":
    main()
