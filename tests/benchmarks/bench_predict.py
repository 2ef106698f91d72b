"""One scan from its file to scores on its own grid: seconds by step and peak memory.

    python tests/benchmarks/bench_predict.py [--slices 100 600 1059]

A made scan of SLICES×512×512, int16, with an ellipsoid of kidney and in it one of tumour, through the recipe `volume`
at 128³ and the default network, untrained; what it says is replaced by the ellipsoids, somewhat larger, so that
something is found. As in the flow, one process predicts and writes, and another cleans and scores; peak resident memory
of each, TensorFlow's own included.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import show, write_scan

from kits_core.phantom.dataset import kits_affine
from kits_core.phantom.nifti_writer import write_nifti_gz
from kits_core.source.convert import convert_image, convert_segmentation

_CODE = """
import json, sys, time
from pathlib import Path
import numpy as np
from kits_core.geometry import Volume, read_volume, restore_labels, write_volume
from kits_core.inference.predict import predict_probabilities
from kits_core.network.config import TrainingConfig
from kits_core.network.training import build_model
from kits_core.recipe import Recipe
from kits_core.recipe.frame import frame_scan, stored_hu
folder, shape = Path(sys.argv[1]), int(sys.argv[2])
recipe = Recipe(shape=shape)
model = build_model(TrainingConfig(), recipe)
model.predict_on_batch(np.zeros((1, shape, shape, shape, 1), np.float32))
found, last = {}, time.perf_counter()
def step(name):
    global last
    now = time.perf_counter()
    found[name], last = now - last, time.perf_counter()
image = read_volume(folder / "imaging.nii")
grid = frame_scan("case_00000", image, recipe, None)
network_input = recipe.standardise(stored_hu("case_00000", image, grid))
step("to the grid, s")
probabilities = predict_probabilities(model, network_input)
step("network, s")
axis = (np.arange(shape) + 0.5) / shape - 0.5
far = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
probabilities = np.eye(3, dtype=np.float32)[(far < 0.11**2).astype(int) + (far < 0.06**2)] + probabilities / 1000
labels = restore_labels(probabilities, grid)
step("back, s")
write_volume(folder / "case_00000.nii.gz", Volume(labels, image.affine))
step("file, s")
"""
_SCORE = """
import json, sys, time
from pathlib import Path
from kits_core.inference.cleanup import Rules
from kits_core.inference.files import score_prediction
folder, found, start = Path(sys.argv[1]), {}, time.perf_counter()
score_prediction("case_00000", folder / "case_00000.nii.gz", folder / "segmentation.nii", Rules(1000, 100))
found["cleaned and scored, s"] = time.perf_counter() - start
"""
_PEAK = """
lines = open("/proc/self/status").read().splitlines()
found["peak, GB{which}"] = next(int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("VmHWM"))
print(json.dumps(found))
"""


def write_ellipsoids(path: Path, shape: tuple[int, int, int]) -> None:
    """Kidney and tumour about the centre, a tenth and a twentieth of each axis in radius."""
    z, y, x = np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in shape], indexing="ij", sparse=True)
    far = z**2 + y**2 + x**2
    labels = (far < 0.1**2).astype(np.uint8) + (far < 0.05**2).astype(np.uint8)
    write_nifti_gz(path, labels, kits_affine((3.0, 0.8, 0.8)), dtype=np.uint8)


def main() -> None:
    """Print a row a scan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, nargs="+", default=[100, 600, 1059])
    parser.add_argument("--quick", action="store_true", help="40 slices, 64³")
    given = parser.parse_args()
    rows = []
    for slices in [40] if given.quick else given.slices:
        with tempfile.TemporaryDirectory() as name:
            folder, size = Path(name), (slices, 512, 512)
            write_scan(folder / "imaging.nii.gz", size, 0)
            write_ellipsoids(folder / "segmentation.nii.gz", size)
            convert_image(folder / "imaging.nii.gz", folder / "imaging.nii", case="case_00000")
            convert_segmentation(folder / "segmentation.nii.gz", folder / "segmentation.nii", case="case_00000")
            row: dict[str, object] = {"scan": f"{slices}x512x512"}
            for code, which in ((_CODE, ""), (_SCORE, " of scoring")):
                words = [sys.executable, "-c", code + _PEAK.format(which=which), str(folder)]
                words.append("64" if given.quick else "128")
                done = subprocess.run(words, check=True, capture_output=True, text=True)
                row |= json.loads(done.stdout.splitlines()[-1])
            rows.append(row)
    show("from a scan to its scores", rows)


if __name__ == "__main__":
    main()
