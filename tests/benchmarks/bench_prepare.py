"""One case from `.nii.gz` to the network's pair: wall seconds and peak memory, against what a user would pick instead.

    python tests/benchmarks/bench_prepare.py [--others PYTHON] [--rounds 5]

The case is a real KiTS23 mask (case_00405, 97×512×512) painted as a CT; where the masks are absent, a phantom of that
size. Ours: conversion with its checks and hashes, then the recipe `volume` at 128³, without and with the ceilings.
Theirs: image linear, labels nearest, to 1.5 mm, then cropped or padded to 128³; nnU-Net's resampling with its default
orders. Each in a process of its own; seconds without imports, peak resident memory with them. PYTHON is an interpreter
that has torchio, monai and nnunetv2; a package that it lacks is left out, with the reason.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import ROUNDS, show, write_labels, write_scan

from kits_core.phantom.dataset import paint_masks

_MASKS = Path(__file__).parents[3] / "shared" / "kits23" / "dataset"
_CASE = "case_00405"

_FRAME = """
import json, sys, time
from pathlib import Path
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
image, labels = str(folder / "imaging.nii.gz"), str(folder / "segmentation.nii.gz")
{imports}
start = time.perf_counter()
{work}
seconds = time.perf_counter() - start
peak = next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([seconds, peak]))
"""
_OURS = (
    """
import kits_core.recipe.prepare as module
from kits_core.recipe import Recipe
from kits_core.source.convert import convert_image, convert_segmentation
""",
    """
convert_image(Path(image), out / "imaging.nii", case="case_00405")
convert_segmentation(Path(labels), out / "segmentation.nii", case="case_00405")
module.prepare_case("case_00405", out / "imaging.nii", out / "segmentation.nii", Recipe(), out)
""",
)
_WAYS = {
    "kits": (_OURS[0] + "module.ceilings = lambda *_: {}\n", _OURS[1]),
    "kits, with ceilings": _OURS,
    "SimpleITK": (
        "import SimpleITK as sitk",
        """
for name, how in ((image, sitk.sitkLinear), (labels, sitk.sitkNearestNeighbor)):
    read = sitk.ReadImage(name)
    size = [round(n * mm / 1.5) for n, mm in zip(read.GetSize(), read.GetSpacing())]
    done = sitk.Resample(read, size, sitk.Transform(), how, read.GetOrigin(), [1.5] * 3, read.GetDirection())
    sitk.WriteImage(done, str(out / Path(name).name.removesuffix(".gz")))
""",
    ),
    "TorchIO": (
        "import torchio as tio",
        """
subject = tio.Subject(image=tio.ScalarImage(image), labels=tio.LabelMap(labels))
steps = tio.Compose([tio.ToCanonical(), tio.Resample(1.5), tio.CropOrPad(128)])
done = steps(subject)
done["image"].save(out / "image.nii"); done["labels"].save(out / "labels.nii")
""",
    ),
    "MONAI": (
        "from monai import transforms as mt",
        """
both = ["image", "labels"]
steps = mt.Compose([mt.LoadImaged(both), mt.EnsureChannelFirstd(both), mt.Orientationd(both, "RAS"),
                    mt.Spacingd(both, (1.5, 1.5, 1.5), mode=("bilinear", "nearest")),
                    mt.ResizeWithPadOrCropd(both, (128, 128, 128))])
done = steps({"image": image, "labels": labels})
mt.SaveImage(out, output_ext=".nii", print_log=False)(done["image"])
mt.SaveImage(out, output_ext=".nii", print_log=False)(done["labels"])
""",
    ),
    "nnU-Net": (
        """
import numpy as np, nibabel as nib
from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_spacing
""",
        """
for name, is_seg in ((image, False), (labels, True)):
    read = nib.load(name)
    data = read.get_fdata(dtype=np.float32)[None]
    spacing = [float(mm) for mm in read.header.get_zooms()]
    done = resample_data_or_seg_to_spacing(data, spacing, (1.5, 1.5, 1.5), is_seg=is_seg, order=1 if is_seg else 3)
    np.save(out / ("labels.npy" if is_seg else "image.npy"), done)
""",
    ),
}


def measure(python: str, way: tuple[str, str], folder: Path) -> tuple[float, float] | str:
    """Seconds and peak MiB of one way, or why it could not be measured."""
    code = _FRAME.format(imports=way[0], work=way[1])
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run([python, "-c", code, str(folder), out], capture_output=True, text=True, check=False)
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak


def main() -> None:
    """Print medians of each way, and how many times ours it takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", default=sys.executable, help="an interpreter with the other packages")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--quick", action="store_true", help="one round, on a small phantom")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = _case(Path(name), small=given.quick)
        found: dict[str, list[tuple[float, float]]] = {}
        for _ in range(1 if given.quick else given.rounds):
            for title, way in _WAYS.items():
                python = sys.executable if title.startswith(("kits", "SimpleITK")) else given.others
                result = measure(python, way, folder)
                if isinstance(result, str):
                    print(f"{title}: left out: {result}")
                else:
                    found.setdefault(title, []).append(result)
    base = statistics.median(seconds for seconds, _ in found["kits"])
    rows: list[dict[str, object]] = []
    for title, results in found.items():
        seconds = statistics.median(s for s, _ in results)
        rows.append({"way": title, "seconds": seconds, "peak MiB": max(p for _, p in results), "times": seconds / base})
    show("one case from .nii.gz to a pair of 128³", rows)


def _case(root: Path, *, small: bool) -> Path:
    if not small and (_MASKS / _CASE).is_dir():
        paint_masks(_MASKS, root, [_CASE], seed=1)
    else:
        shape = (24, 128, 128) if small else (97, 512, 512)
        write_scan(root / _CASE / "imaging.nii.gz", shape, 0, np.int16)
        write_labels(root / _CASE / "segmentation.nii.gz", shape)
    return root / _CASE


if __name__ == "__main__":
    main()
