"""Peak memory of converting the largest geometry of KiTS23, 1059×512×512 stored as float64, against the usual way.

Ours: `convert_image`, as one worker of an ingestion runs it. Theirs: `np.asarray(nib.load(path).dataobj)`, a cast to
int16 and `nib.save`. Each in a process of its own; peak resident memory of the whole process, Python included.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import show, write_scan

_MEASURE = """
import sys
from pathlib import Path
import nibabel as nib, numpy as np
from kits_core.source.convert import convert_image
folder = Path(sys.argv[1])
{way}
# VmHWM and not ru_maxrss, which a process inherits from the one that started it.
print(next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
_OURS = 'convert_image(folder / "imaging.nii.gz", folder / "ours.nii", case="case_00000")'
_THEIRS = """image = nib.load(folder / "imaging.nii.gz")
data = np.asarray(image.dataobj)
nib.save(nib.Nifti1Image(data.astype(np.int16), image.affine), folder / "theirs.nii")"""


def peak_mib(folder: Path, way: str) -> float:
    """Peak MiB of one way."""
    code = _MEASURE.format(way=way)
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Print both peaks and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the slices")
    slices = 105 if parser.parse_args().quick else 1059
    needed = slices * 512 * 512 * 10
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scan(folder / "imaging.nii.gz", (slices, 512, 512), 0, np.float64)
        ours = peak_mib(folder, _OURS)
        rows: list[dict[str, object]] = [{"way": "convert_image", "MiB": ours, "times": 1.0}]
        if free > 1.2 * needed:
            theirs = peak_mib(folder, _THEIRS)
            rows.append({"way": "nibabel, cast, save", "MiB": theirs, "times": theirs / ours})
        else:
            rows.append({"way": "nibabel, cast, save", "MiB": "not measured: too little memory here", "times": ""})
    show(f"{slices}×512×512 float64", rows)


if __name__ == "__main__":
    main()
