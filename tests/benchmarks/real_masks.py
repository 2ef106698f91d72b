"""The whole way on real KiTS23 masks: images painted at full resolution, trained at 64³, scored on original grids.

    python tests/benchmarks/real_masks.py MASKS HOME [--cases 36] [--epochs 200]

MASKS holds `case_XXXXX/segmentation.nii.gz` (and `kits23.json`) in the official layout. Everything made lies in HOME;
run again, it goes on where it was. The figures in docs/benchmarks.md come from this command.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from kits_core.phantom.dataset import paint_masks

SHAPE, BATCH, FILTERS = "64", "2", "16"


def main() -> None:
    """Paint, ingest, prepare, split, train, evaluate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("masks", type=Path)
    parser.add_argument("home", type=Path)
    parser.add_argument("--cases", type=int, default=36)
    parser.add_argument("--epochs", default="200")
    arguments = parser.parse_args()
    names = sorted(folder.parent.name for folder in arguments.masks.glob("case_*/segmentation.nii.gz"))
    source = arguments.home / "painted"
    for name in names[: arguments.cases]:
        start = time.perf_counter()
        paint_masks(arguments.masks, source, [name], seed=1)
        print(f"{name} painted in {time.perf_counter() - start:.1f} s", flush=True)
    paint_masks(arguments.masks, source, names[: arguments.cases], seed=1)
    os.environ["KITS_HOME"] = str(arguments.home)
    dataset = ["--dataset", "real-masks"]
    for verb in (
        ["ingest", "--source", str(source), "--workers", "2", *dataset],
        ["prepare", "--shape", SHAPE, *dataset],
        ["split", *dataset],
        ["train", "--shape", SHAPE, "--batch-size", BATCH, "--filters", FILTERS, "--epochs", arguments.epochs,
         "--learning-rate", "2e-3", "--final-learning-rate", "2e-5", "--patience", arguments.epochs,
         "--miss-weight", "0.5", "--false-alarm-weight", "0.5", *dataset],
        ["evaluate", "--model", "latest"],
    ):  # fmt: skip
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "from deployments.cli import main; main()", *verb], check=True)
        print(f"kits {verb[0]}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
