"""`kits prepare` over many cases: two workers against one, and against the same calls without Prefect and catalog.

    python tests/benchmarks/bench_prepare_flow.py [--home HOME]

HOME holds ingested cases (`real_masks.py` makes one of real masks at full size); without it, 40 phantoms are ingested.
The recipe's hash is what decides if a case is made again, so each round takes a margin of its own in the frame
`kidneys`. One process that has imported everything, the Prefect server runs; the worker processes are warm.
"""

import argparse
import os
import shutil
import tempfile
import time
from itertools import count
from pathlib import Path

os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"

from common import in_turn, medians, show

_margins = count(1)


def flow(workers: int, dask: str = "") -> float:
    """Seconds of the flow, its figures and artifact included; `dask` as in `$KITS_DASK`."""
    os.environ["KITS_DASK"] = dask
    from flows.fan_out import task_runner
    from flows.parameters import PrepareParameters
    from flows.prepare import prepare
    from kits_core.recipe import Recipe

    recipe = Recipe(frame="kidneys", margin_mm=20 + next(_margins) / 1000)
    start = time.perf_counter()
    # The setting is read when a flow is defined.
    done = prepare.with_options(task_runner=task_runner())(PrepareParameters(recipe=recipe, workers=workers))
    seconds = time.perf_counter() - start
    assert done.made_now == done.prepared
    _clear(recipe.hash)
    return seconds


def bare(workers: int) -> float:
    """Seconds of the same calls in the same worker processes, without tasks, rows, figures and artifact."""
    from concurrent.futures import ThreadPoolExecutor

    from db.settings import Settings
    from kits_core.recipe import Recipe
    from kits_core.recipe.prepare import prepare_case
    from tasks.isolated import run_isolated

    recipe = Recipe(frame="kidneys", margin_mm=20 + next(_margins) / 1000)
    settings = Settings()
    folders = sorted(path.parent for path in settings.raw.glob("*/case_*/segmentation.nii"))

    def one(folder: Path) -> None:
        out = settings.prepared / recipe.hash / folder.name
        files = folder / "imaging.nii", folder / "segmentation.nii"
        run_isolated(workers, prepare_case, folder.name, *files, recipe, out)

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(one, folders))
    seconds = time.perf_counter() - start
    _clear(recipe.hash)
    return seconds


def _clear(recipe_hash: str) -> None:
    from db.settings import Settings

    shutil.rmtree(Settings().prepared / recipe_hash)
    os.sync()


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
            flow(2)
            ways = {
                "flow, two workers": lambda: flow(2),
                "flow, one worker": lambda: flow(1),
                "bare calls, two workers": lambda: bare(2),
            }
            found = medians(in_turn(ways, 1 if given.quick else given.rounds))
    two = found["flow, two workers"]
    show(
        f"kits prepare --frame kidneys, {os.cpu_count()} cores",
        [{"way": way, "seconds": seconds, "times": seconds / two} for way, seconds in found.items()],
    )


def ingest_phantoms(root: Path, cases: int) -> None:
    """`cases` phantoms at half size into the home."""
    from flows.ingest import ingest
    from flows.parameters import IngestParameters
    from kits_core.phantom.dataset import write_phantoms

    write_phantoms(root, cases, 1, shape=(60, 256, 256), spacing_mm=(4.0, 1.4, 1.4))
    ingest(IngestParameters(source=str(root), dataset="phantoms"))


if __name__ == "__main__":
    main()
