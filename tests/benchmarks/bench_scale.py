"""What Prefect costs with many cases: 489 tiny ones through ingest and prepare, against the same functions without it.

    python tests/benchmarks/bench_scale.py

The cases are phantoms of 32x32x32 voxels in the official layout, so nearly all the time is files, rows and Prefect.
Both ways call the same task functions, which write the same files and rows, with the same number of threads and worker
processes; one as the flows do, against the server that `kits ingest` starts, one from a bare thread pool. The flow adds
its artifact, `prepare` with ten pictures. One run, everything imported; memory is the peak of each process until then.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from common import show_markdown

os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"

_PHANTOMS = """
import sys
from pathlib import Path
from kits_core.phantom.dataset import write_phantoms
write_phantoms(Path(sys.argv[1]), int(sys.argv[2]), 1, shape=(32, 32, 32), spacing_mm=(6.5, 10.5, 10.5))
"""
_FETCHED_AT_ONCE = 8
_PREPARED_AT_ONCE = 2


def flows(source: Path) -> dict[str, Callable[[], int]]:
    """The two flows; how many cases each brought to its end."""
    from flows.ingest import ingest
    from flows.parameters import IngestParameters, PrepareParameters
    from flows.prepare import prepare
    from kits_core.recipe import Recipe

    fetched = IngestParameters(source=str(source), dataset="tiny", workers=_FETCHED_AT_ONCE)
    prepared = PrepareParameters(recipe=Recipe(shape=32), workers=_PREPARED_AT_ONCE)
    return {"ingest": lambda: ingest(fetched).brought_in, "prepare": lambda: prepare(prepared).made_now}


def bare(source: Path) -> dict[str, Callable[[], int]]:
    """The same task functions, called from a thread pool."""
    from kits_core.recipe import Recipe
    from tasks.ingest import ingest_case, ingest_clinical_records
    from tasks.listing import CaseToIngest, list_source
    from tasks.prepare import CaseToPrepare, plan_preparation, prepare_case
    from tasks.source import SourceRequest

    recipe = Recipe(shape=32)

    def ingest() -> int:
        asked = SourceRequest(str(source), _FETCHED_AT_ONCE, None)
        listing = list_source.fn(asked, "tiny", None, keep_archives=False)

        def bring_in(case: CaseToIngest) -> None:
            ingest_case.fn(asked, case, keep_archives=False)

        with ThreadPoolExecutor(_FETCHED_AT_ONCE) as pool:
            done = len(list(pool.map(bring_in, listing.missing)))
        assert listing.clinical is not None
        ingest_clinical_records.fn(asked, listing.clinical, listing.dataset)
        return done

    def prepare() -> int:
        plan = plan_preparation.fn("tiny", recipe)

        def one(case: CaseToPrepare) -> None:
            prepare_case.fn(case, recipe, plan.recipe_id, _PREPARED_AT_ONCE)

        with ThreadPoolExecutor(_PREPARED_AT_ONCE) as pool:
            return len(list(pool.map(one, plan.missing)))

    return {"ingest": ingest, "prepare": prepare}


def timed(home: Path, stage: Callable[[], int], cases: int) -> float:
    """Seconds of a stage in a home."""
    os.environ["KITS_HOME"] = str(home)
    os.sync()
    start = time.perf_counter()
    done = stage()
    assert done == cases, (done, cases)
    return time.perf_counter() - start


def peak_mb(process: psutil.Process) -> float:
    """The most memory that a process has held until now, as Linux counts it."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1e3


def megabytes(folder: Path, name: str) -> float:
    """Size of an SQLite database with what waits beside it."""
    return sum(path.stat().st_size for path in folder.glob(f"{name}*")) / 1e6


def server_of(home: Path) -> psutil.Process:
    """The server of a home."""
    from deployments.home_note import prefect_home, read_note

    note = read_note(prefect_home(home) / "server.json")
    assert note is not None
    return psutil.Process(note.pid)


def main() -> None:
    """Measure both ways in turn, stage by stage; print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=489)
    parser.add_argument("--quick", action="store_true", help="20 cases")
    given = parser.parse_args()
    cases = 20 if given.quick else given.cases
    with tempfile.TemporaryDirectory() as name:
        source, home, other = (Path(name) / part for part in ("source", "home", "bare"))
        subprocess.run([sys.executable, "-c", _PHANTOMS, str(source), str(cases)], check=True)
        show_markdown(f"{cases} cases of 32x32x32, {os.cpu_count()} cores", _rows(source, home, other, cases))


def _rows(source: Path, home: Path, other: Path, cases: int) -> list[dict[str, object]]:
    from prefect.logging import disable_run_logger

    from deployments.server import prefect_server

    found: dict[str, dict[str, object]] = {}
    with prefect_server(home):
        server = server_of(home)
        for stage, flow in flows(source).items():
            seconds = timed(home, flow, cases)
            memory = {"server, peak MB": peak_mb(server), "flow process, peak MB": peak_mb(psutil.Process())}
            with disable_run_logger():  # which task functions ask for
                plain = timed(other, bare(source)[stage], cases)
            found[stage] = {
                "flow, s": seconds,
                "flow, ms a case": seconds / cases * 1000,
                "bare calls, s": plain,
                "bare calls, ms a case": plain / cases * 1000,
                "times": seconds / plain,
                **memory,
                "catalog, MB": megabytes(home, "catalog.db"),
                "Prefect's database, MB": megabytes(home / "prefect", "prefect.db"),
            }
    first, second = found.values()
    return [{"what": what, "ingest": first[what], "prepare": second[what]} for what in first]


if __name__ == "__main__":
    main()
