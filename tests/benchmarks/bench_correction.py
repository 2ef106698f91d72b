"""What corrected predictions are worth: a model, the same trained on without them, and the same trained on with them.

    python tests/benchmarks/bench_correction.py [--seeds 3] [--later 10] [--epochs 10]

All by the command line, as `docs/how-to/retrain.md` has it. 20 phantoms as in the demo are ingested. Ten are
trained on with the demo's settings, ten are held out. Then LATER others come in as scans: they are predicted, and the
masks that they were painted from come back as corrections. From the champion, one training goes on without them,
another with them, for as many steps and with the same step size. All three models are scored on the cases that were
held out from the start, on original grids.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from common import show

from kits_core.network.small import CONFIG, RECIPE
from kits_core.phantom.dataset import write_phantoms

KITS = (sys.executable, "-c", "from deployments.cli import main; main()")
FIRST = 20
STEP_SIZE = 3e-4
WAYS = ("champion", "trained on without corrections", "trained on with corrections")


def options(settings: Any) -> list[str]:
    """Settings that differ from the defaults, as the command line takes them."""
    words = []
    for name, value in settings.model_dump(mode="json", exclude_defaults=True).items():
        words += [f"--{name.replace('_', '-')}"] if value is True else [f"--{name.replace('_', '-')}", str(value)]
    return words


def scores(folder: Path, seed: int, later: int, epochs: int) -> list[tuple[float, float]]:
    """Mean Dice of kidney and tumor on the held-out cases of the three models, in the order of `WAYS`."""
    environment = os.environ | {"KITS_HOME": str(folder / "home"), "PYTHONUTF8": "1"}

    def kits(*words: str) -> Any:
        done = subprocess.run([*KITS, *words, "--json"], env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"kits {' '.join(words)}\n{done.stderr[-3000:]}")
        return json.loads(done.stdout)

    def evaluated() -> tuple[float, float]:
        number = kits("evaluate", "--model", "latest")["evaluation_id"]
        query = "SELECT AVG(kidney_dice) AS kidney, AVG(tumor_dice) AS tumor FROM worst_case WHERE evaluation_id = "
        (row,) = kits("sql", f"{query}{number}")
        return row["kidney"], row["tumor"]

    names = write_phantoms(folder / "painted", FIRST + later, 100 + seed)
    for name in names[:FIRST]:
        shutil.move(folder / "painted" / name, folder / "source" / name)
    kits("ingest", "--source", str(folder / "source"), "--dataset", "phantoms")
    recipe = options(RECIPE)
    kits("prepare", *recipe)
    kits("split", "--validation", "0.5")
    kits("train", *recipe, *options(CONFIG.model_copy(update={"seed": seed})))
    found = [evaluated()]

    tune = ["--from", "1", "--batch-size", str(CONFIG.batch_size), "--seed", str(seed)]
    tune += ["--learning-rate", str(STEP_SIZE), "--final-learning-rate", "1e-5"]
    trained = FIRST // 2
    kits("train", *tune, "--split", "1", "--epochs", str(round(epochs * (trained + later) / trained)))
    found.append(evaluated())

    scans = folder / "scans"
    scans.mkdir()
    for name in names[FIRST:]:
        shutil.move(folder / "painted" / name / "imaging.nii.gz", scans / f"{name}.nii.gz")
    kits("predict", str(scans), "--model", "1", "--out", str(folder / "plans"))
    for name in names[FIRST:]:
        mask = folder / "painted" / name / "segmentation.nii.gz"
        kits("correct", str(folder / "plans" / name), str(mask), "--dataset", "phantoms", "--by", "painter")
    kits("prepare", *recipe)
    kits("split", "--keep", "1")
    kits("train", *tune, "--epochs", str(epochs))
    found.append(evaluated())
    return found


def main() -> None:
    """Print mean and spread (standard deviation) over the seeds, and what the corrections gained in each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--later", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    rows = []
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as name:
            rows.append(scores(Path(name), seed, given.later, given.epochs))
        print(
            f"seed {seed}: " + "; ".join(f"{w} %.3f, %.3f" % v for w, v in zip(WAYS, rows[-1], strict=True)), flush=True
        )
    values = np.array(rows)  # seeds x ways x regions
    spread = values.std(axis=0, ddof=1 if len(rows) > 1 else 0)
    show(
        f"{given.later} corrected scans, {given.seeds} seeds",
        [
            {
                "way": way,
                "kidney Dice": float(values[:, i, 0].mean()), "its spread": float(spread[i, 0]),
                "tumour Dice": float(values[:, i, 1].mean()), "spread of it": float(spread[i, 1]),
            }
            for i, way in enumerate(WAYS)
        ],
    )  # fmt: skip
    gain = values[:, 2] - values[:, 1]
    print("with against without, each seed, kidney and tumour:", np.round(gain, 3).tolist())


if __name__ == "__main__":
    main()
