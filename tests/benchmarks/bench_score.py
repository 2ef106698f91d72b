"""Scores against the official way: equal values, CPU and memory, and a folder of 98 predictions on one core and two.

    python tests/benchmarks/bench_score.py [--masks MASKS] [--pairs 200]

MASKS holds real KiTS23 segmentations in the official layout. Predictions are made from them (`masks.py`): shifted,
grown, shrunk, with parts lost, with islands, empty. The official way: the `surface-distance` package, its Dice and
surface Dice at the challenge's tolerances and empty rules for its three regions. Hausdorff: SciPy's exact Euclidean
distance transform, between the centres of surface voxels (those with a neighbour outside across a face). CPU and
memory: `score_case` (five regions, ten metrics) against just the official three Dice and surface Dice, each in a
process of its own, median of 3; wall time of `kits score` over the folder, one run each.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import nibabel as nib
import numpy as np
from common import show
from masks import MASKS, Labels, Spacing, read_mask, spoilt
from scipy.ndimage import binary_erosion, distance_transform_edt

from kits_core.labels import OFFICIAL_REGIONS, REGIONS
from kits_core.metrics.case import score_case

PREDICTIONS = 98
KITS = [sys.executable, "-c", "from deployments.cli import main; main()"]

_TIMED = """
import json, sys, time
import numpy as np
pair = np.load(sys.argv[1])
prediction, reference, spacing = pair["prediction"], pair["reference"], tuple(pair["spacing"].tolist())
{imports}
base = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
start = time.process_time()
{work}
seconds = time.process_time() - start
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([seconds, (peak - base) / 1024]))
"""
_WAYS = {
    "kits, all": (
        """from kits_core.metrics.case import score_case
score_case(prediction[:9, :9, :9], reference[:9, :9, :9], spacing)""",
        "score_case(prediction, reference, spacing)",
    ),
    "official three": (
        "import sys\nsys.path.insert(0, {here!r})\nfrom bench_score import official",
        "official(prediction, reference, spacing)",
    ),
}


def official(prediction: Labels, reference: Labels, spacing: Spacing) -> dict[tuple[str, str], float]:
    """Dice and surface Dice of the three official regions by the package that the challenge uses."""
    import surface_distance

    found = {}
    for region in OFFICIAL_REGIONS:
        p, r = np.zeros(prediction.shape, bool), np.zeros(reference.shape, bool)
        for label in region.labels:
            p[prediction == label], r[reference == label] = True, True
        if not p.any() or not r.any():
            found[region.name, "dice"] = found[region.name, "surface_dice"] = float(p.any() == r.any())
            continue
        found[region.name, "dice"] = surface_distance.compute_dice_coefficient(r, p)
        distances = surface_distance.compute_surface_distances(r, p, spacing)
        found[region.name, "surface_dice"] = surface_distance.compute_surface_dice_at_tolerance(
            distances, region.tolerance_mm
        )
    return found


def hausdorff(prediction: Labels, reference: Labels, spacing: Spacing) -> dict[str, float]:
    """The Hausdorff distance of every region, by SciPy, in mm; regions with an empty mask are left out."""
    both = np.nonzero((prediction > 0) | (reference > 0))
    box = tuple(slice(hits.min(), hits.max() + 1) for hits in both)
    found = {}
    for region in REGIONS:
        p, r = np.isin(prediction[box], region.labels), np.isin(reference[box], region.labels)
        if p.any() and r.any():
            p, r = p & ~binary_erosion(p), r & ~binary_erosion(r)
            one = distance_transform_edt(~r, sampling=spacing)[p].max()
            other = distance_transform_edt(~p, sampling=spacing)[r].max()
            found[region.name] = float(max(one, other))
    return found


def parity(folders: Sequence[Path], pairs: int) -> None:
    """The largest differences over `pairs` predictions."""
    largest = {"Dice": 0.0, "surface Dice": 0.0, "Hausdorff, mm": 0.0}
    done, empty = 0, 0
    for seed, folder in enumerate(folders):
        reference, spacing, _ = read_mask(folder)
        for name, prediction in spoilt(reference, seed):
            if done == pairs:
                break
            scores = score_case(prediction, reference, spacing)
            ours = {(s.region, s.metric): s.value for s in scores if s.value is not None}
            for (region, metric), value in official(prediction, reference, spacing).items():
                title = "Dice" if metric == "dice" else "surface Dice"
                largest[title] = max(largest[title], abs(ours[region, metric] - value))
            if prediction.any():
                for region, value in hausdorff(prediction, reference, spacing).items():
                    difference = abs(ours[region, "hausdorff_mm"] - value)
                    largest["Hausdorff, mm"] = max(largest["Hausdorff, mm"], difference)
            done, empty = done + 1, empty + (name == "nothing found")
    show(
        f"{done} pairs ({empty} with an empty prediction): largest difference",
        [{"metric": name, "from the reference": f"{value:.2g}"} for name, value in largest.items()],
    )


def cost(folders: Sequence[Path], rounds: int) -> None:
    """CPU seconds and memory beyond what is loaded, of a case."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for folder in folders:
            reference, spacing, _ = read_mask(folder)
            pair = Path(name) / "pair.npz"
            np.savez(pair, prediction=next(spoilt(reference, 1))[1], reference=reference, spacing=spacing)
            found: dict[str, list[list[float]]] = {way: [] for way in _WAYS}
            for _ in range(rounds):
                for way, (imports, work) in _WAYS.items():
                    code = _TIMED.format(imports=imports.format(here=str(Path(__file__).parent)), work=work)
                    run = subprocess.run(
                        [sys.executable, "-c", code, str(pair)], check=True, capture_output=True, text=True
                    )
                    found[way].append(json.loads(run.stdout.splitlines()[-1]))
            medians = {way: [statistics.median(column) for column in zip(*found[way], strict=True)] for way in found}
            (ours, ours_mib), (theirs, theirs_mib) = medians.values()
            shape = "x".join(map(str, reference.shape))
            rows.append(
                {"case": f"{folder.name}, {shape}", "CPU, s": ours, "official CPU, s": theirs, "times": ours / theirs,
                 "MiB": ours_mib, "official MiB": theirs_mib, "times the memory": ours_mib / theirs_mib}
            )  # fmt: skip
    show("scoring a case", rows)


def folder_of_predictions(folders: Sequence[Path], predictions: int) -> None:
    """Wall time of `kits score` on one core and on all."""
    with tempfile.TemporaryDirectory() as name:
        for number in range(predictions):
            folder = folders[number % len(folders)]
            reference, _, affine = read_mask(folder)
            _, prediction = next(islice(spoilt(reference, number), number // len(folders), None))
            path = Path(name) / "predictions" / f"case_{number:05d}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(prediction, affine), path)
            place = Path(name) / "references" / f"case_{number:05d}"
            place.mkdir(parents=True)
            (place / "segmentation.nii.gz").symlink_to(folder / "segmentation.nii.gz")
        rows = []
        for workers in sorted({1, len(os.sched_getaffinity(0))}):
            start = time.perf_counter()
            words = ["score", f"{name}/predictions", f"{name}/references", "--workers", str(workers)]
            subprocess.run([*KITS, *words], check=True, capture_output=True)
            rows.append({"workers": workers, "seconds": time.perf_counter() - start})
        for row in rows:
            row["times faster"] = rows[0]["seconds"] / row["seconds"]
        show(f"kits score, {predictions} predictions at full resolution", rows)


def main() -> None:
    """Print equal values, costs and wall times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=Path, default=MASKS)
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--quick", action="store_true", help="the smallest mask, two pairs, two predictions")
    parser.add_argument("--only", choices=("parity", "cost", "folder"))
    given = parser.parse_args()
    folders = sorted(path.parent for path in given.masks.glob("case_*/segmentation.nii.gz"))
    if not folders:
        print(f"no masks in {given.masks}: nothing to measure")
        return
    chosen = [given.masks / name for name in ("case_00010", "case_00003", "case_00000")]
    if given.quick:
        folders = chosen = sorted(folders, key=lambda path: path.joinpath("segmentation.nii.gz").stat().st_size)[:1]
    if given.only in (None, "parity"):
        parity(folders, 2 if given.quick else given.pairs)
    if given.only in (None, "cost"):
        cost([folder for folder in chosen if folder.is_dir()], 1 if given.quick else 3)
    if given.only in (None, "folder"):
        folder_of_predictions(folders, 2 if given.quick else PREDICTIONS)


if __name__ == "__main__":
    main()
