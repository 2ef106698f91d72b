"""What Prefect and the catalog cost: the ingest flow against the same calls of `kits_core` in a thread pool.

Both in one process that has imported everything, from one host on loopback, into an empty folder, over 8 connections,
each archive converted while it arrives, and both end with the clinical records and the fingerprint's figure; the
Prefect server runs. The start of the command (imports, a server of its own on a new home) is stated apart.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from common import ROUNDS, compare, in_turn, serving, show, write_dataset

os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
_WORKERS = 8
_PAUSE_S = 5.0


def plain(address: str, folder: Path) -> float:
    """Seconds of probing, fetching, verifying and converting every case in a thread pool, and of the fingerprint."""
    import pandas as pd

    from kits_core.report.fingerprint import distributions, outliers
    from kits_core.source.clinical import read_clinical
    from kits_core.source.convert import convert_image, convert_segmentation
    from kits_core.source.growing import Growing, read_on_arrival
    from kits_core.source.location import Location
    from kits_core.source.opening import open_source
    from kits_core.source.transfer import Transfer, TransferPolicy
    from kits_core.source.verify import check_hounsfield, check_pair

    start = time.perf_counter()
    policy = TransferPolicy(connections=_WORKERS)
    with Transfer(policy) as transfer, ThreadPoolExecutor(2 * _WORKERS) as pool:
        source = open_source(address, transfer=transfer)

        def arrive(location: Location, archive: Path, growing: Growing) -> object:
            return transfer.fetch(location, archive, growing=growing)

        def bring_in(case: str) -> dict[str, object]:
            located = source.locate(case)
            archives = folder / case
            found: list[Any] = []
            for location, name, convert in (
                (located.segmentation, "segmentation", convert_segmentation),
                (located.image, "imaging", convert_image),
            ):
                assert location is not None
                transfer.probe(location)
                archive = archives / f"{name}.nii.gz"
                _, converted = read_on_arrival(
                    archive,
                    partial(arrive, location, archive),
                    partial(convert, target=archives / f"{name}.nii"),
                )
                assert converted is not None
                found.append(converted)
            segmentation, image = found
            check_hounsfield(case, image.hu_min, image.hu_percentiles)
            check_pair(case, image.facts, segmentation.facts)
            (archives / "imaging.nii.gz").unlink()
            (archives / "segmentation.nii.gz").unlink()
            slice_mm, in_plane_mm, _ = image.facts.spacing_mm
            ml = {f"{volume.label.name.lower()}_ml": volume.ml for volume in segmentation.volumes if volume.label}
            hu = {f"hu_{name}": value for name, value in image.hu_percentiles.items()}
            slices = image.facts.shape[0]
            return {"case": case, "slices": slices, "slice_mm": slice_mm, "in_plane_mm": in_plane_mm,
                    "height_mm": slices * slice_mm, **hu, **ml}  # fmt: skip

        frame = pd.DataFrame(list(pool.map(bring_in, source.cases())))
        records = source.clinical()
        assert records is not None
        transfer.fetch(records, folder / "kits23.json")
        read_clinical(folder / "kits23.json")
        distributions(frame)
        outliers(frame)
    seconds = time.perf_counter() - start
    _clear(folder)
    return seconds


def orchestrated(address: str, folder: Path) -> float:
    """Seconds of the flow into a new home below `folder`."""
    from flows.ingest import ingest
    from flows.parameters import IngestParameters

    home = folder / f"home-{time.time_ns()}"
    os.environ["KITS_HOME"] = str(home)
    start = time.perf_counter()
    done = ingest(IngestParameters(source=address, dataset="bench", workers=_WORKERS))
    seconds = time.perf_counter() - start
    assert done.brought_in == done.chosen
    _clear(home / "raw")
    return seconds


def _clear(folder: Path) -> None:
    """Leave both ways the same machine: nothing in the page cache, nothing waiting for the disk."""
    shutil.rmtree(folder)
    os.sync()
    time.sleep(_PAUSE_S)


def start_of_the_command(root: Path) -> float:
    """Seconds of `kits ingest` of one tiny case into a new home: imports, catalog, a Prefect server of its own."""
    with tempfile.TemporaryDirectory() as home:
        environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from deployments.cli import main; main()", "ingest", "--source", str(root)],
            env=environment | {"KITS_HOME": home},
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - start


def main() -> None:
    """Print medians and their ratio, then the start apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller files, one round")
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    cases, shape, rounds = (8, (20, 256, 256), 1) if given.quick else (given.cases, (230, 512, 512), given.rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write_dataset(folder / "served", cases, shape)
        write_dataset(folder / "tiny", 1, (16, 64, 64))
        from deployments.server import prefect_server

        with serving(folder / "served") as server, prefect_server(folder / "prefect"):
            plain(server.address, folder / "plain")  # the host hashes its files on the first request
            found = in_turn(
                {
                    "ingest flow": lambda: orchestrated(server.address, folder),
                    "plain thread pool": lambda: plain(server.address, folder / "plain"),
                },
                rounds,
            )
        compare(f"{cases} cases, {size / 1e9:.2f} GB of images, {os.cpu_count()} cores", "seconds", found)
        seconds = sorted(start_of_the_command(folder / "tiny") for _ in range(min(3, rounds)))
        show("kits ingest, one tiny case, new home", [{"seconds (median)": seconds[len(seconds) // 2]}])


if __name__ == "__main__":
    main()
