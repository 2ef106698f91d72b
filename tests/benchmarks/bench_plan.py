"""From a scan to its surgical plan: seconds by step and peak memory, and what the network is of it.

    python tests/benchmarks/bench_plan.py [--slices 100 600] [--flips]

The real masks nearest to SLICES×512×512, painted, as `.nii.gz`; the default network, untrained, at 128³, whose answer
is replaced by the mask, so that a real kidney and tumour are planned. As in the flow, one process segments and another
plans; peak resident memory of each, TensorFlow's own included. The network is what runs in Keras; the pipeline around
it is all else.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
from common import show
from masks import MASKS

from kits_core.phantom.dataset import paint_masks, write_phantoms

_SEGMENT = """
import json, sys, time
from pathlib import Path
import numpy as np
from kits_core.files import sha256_of
from kits_core.geometry import Volume, read_volume, restore_labels, write_volume
from kits_core.inference.predict import predict_probabilities
from kits_core.network.config import TrainingConfig
from kits_core.network.training import build_model
from kits_core.recipe import Recipe
from kits_core.recipe.frame import frame_scan, stored_hu
from kits_core.scan.features import describe
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan
folder, out, shape, flips = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "flips"
recipe = Recipe(shape=shape)
model = build_model(TrainingConfig(), recipe)
model.predict_on_batch(np.zeros((1, shape, shape, shape, 1), np.float32))
mask = np.asarray(read_volume(folder / "segmentation.nii.gz").data, dtype=np.uint8)
found, last = {}, time.perf_counter()
def step(name):
    global last
    now = time.perf_counter()
    found[name], last = now - last, time.perf_counter()
scan, = find_scans([folder / "imaging.nii.gz"]).scans
image = read_scan(scan).volume
sha256_of(scan.path)
step("read and hash")
grid = frame_scan(scan.name, image, recipe, None)
network_input = recipe.standardise(stored_hu(scan.name, image, grid))
step("to the grid")
probabilities = predict_probabilities(model, network_input, flips=flips)
step("network")
restore_labels(probabilities, grid)
step("back")
write_volume(out / "segmentation.nii.gz", Volume(mask, image.affine))
step("write")
describe(image, mask)
step("compare")
"""
_PLAN = """
import json, sys
from pathlib import Path
from kits_core.plan.files import plan_scan
from kits_core.plan.page import PageFacts
from kits_core.scan.find import find_scans
scan, = find_scans([Path(sys.argv[1]) / "imaging.nii.gz"]).scans
found = plan_scan(scan, Path(sys.argv[2]), PageFacts("a plan", "today", [], {}), {}).seconds
"""
_PEAK = """
lines = open("/proc/self/status").read().splitlines()
peak = next(int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("VmHWM"))
print(json.dumps([found, peak]))
"""


def nearest(slices: int) -> str:
    """The real mask of 512×512 whose number of slices is nearest."""
    shapes = {path.parent.name: nib.load(path).shape for path in sorted(MASKS.glob("case_*/segmentation.nii.gz"))}
    return min(
        (name for name in shapes if shapes[name][1:] == (512, 512)), key=lambda name: abs(shapes[name][0] - slices)
    )


def main() -> None:
    """Print a row a step, a column a scan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, nargs="+", default=[100, 600])
    parser.add_argument("--flips", action="store_true", help="average with the mirror image")
    parser.add_argument("--quick", action="store_true", help="a small phantom, 32³")
    given = parser.parse_args()
    if not given.quick and not MASKS.is_dir():
        print(f"not run: no real masks at {MASKS}")
        return
    columns = {}
    for slices in [40] if given.quick else given.slices:
        with tempfile.TemporaryDirectory() as name:
            root = Path(name)
            if given.quick:
                (case,) = write_phantoms(root / "in", 1, 3, shape=(slices, 80, 80), spacing_mm=(5.0, 4.0, 4.0))
            else:
                case = nearest(slices)
                paint_masks(MASKS, root / "in", [case], seed=1)
            (root / "out").mkdir()
            found: dict[str, float] = {}
            peaks: list[float] = []
            for code in (_SEGMENT, _PLAN):
                words = [sys.executable, "-c", code + _PEAK, str(root / "in" / case), str(root / "out")]
                words += ["32" if given.quick else "128", "flips" if given.flips else "once"]
                done = subprocess.run(words, check=True, capture_output=True, text=True)
                seconds, peak = json.loads(done.stdout.splitlines()[-1])
                found |= seconds
                peaks.append(peak)
            whole = sum(found.values())
            found |= {"whole": whole, "around the network, share of the whole": 1 - found["network"] / whole}
            found |= {"peak of segmenting, GB": peaks[0], "peak of planning, GB": peaks[1]}
            shape = nib.load(root / "in" / case / "segmentation.nii.gz").shape
            columns[f"{case}, {'x'.join(map(str, shape))}"] = found
    rows = [{"step": step} | {name: found[step] for name, found in columns.items()} for step in found]
    show("from a scan to its plan, seconds", rows)


if __name__ == "__main__":
    main()
