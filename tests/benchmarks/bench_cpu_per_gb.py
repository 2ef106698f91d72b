"""CPU of download, verification and conversion, per GB of archive, against `curl | sha256sum` and `gzip -d`.

Ours, in one process: fetch from loopback with its SHA-256 on the way, check the gzip CRC, the header and every voxel,
write int16 HU, fsync, hash the result. Theirs: `curl -s URL | tee file | sha256sum`, then `gzip -d` of the file. User
and system time of the processes, the start of Python and its imports apart; the server runs elsewhere.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from common import compare, in_turn, serving, write_scan

_OURS = """
import os, sys
from pathlib import Path
from kits_core.source.convert import convert_image
from kits_core.source.transfer import Transfer
with Transfer() as transfer:
    folder = Path(sys.argv[2])
    before = os.times()
    transfer.fetch(sys.argv[1], folder / "imaging.nii.gz")
    convert_image(folder / "imaging.nii.gz", folder / "imaging.nii", case="case_00000")
    after = os.times()
    print(after.user + after.system - before.user - before.system)
"""


def ours(url: str, folder: Path) -> float:
    """CPU seconds of one file, our way."""
    done = subprocess.run([sys.executable, "-c", _OURS, url, str(folder)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def theirs(url: str, folder: Path) -> float:
    """CPU seconds of one file with the common tools."""
    path = folder / "theirs.nii.gz"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    script = f"curl -s {url} | tee {path} | sha256sum > /dev/null && gzip -df {path}"
    subprocess.run(["bash", "-c", script], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print CPU seconds per GB and their ratio, for int16 and for float64 sources."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller files, one round")
    quick = parser.parse_args().quick
    if shutil.which("curl") is None:
        print("skipped: no curl here")
        return
    shape, rounds = ((40, 256, 256), 1) if quick else ((200, 512, 512), 5)
    for dtype in (np.int16, np.float64):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            size = write_scan(folder / "served" / "imaging.nii.gz", shape, 0, dtype)
            with serving(folder / "served") as server:
                url = f"{server.address}/imaging.nii.gz"
                ways = {"fetch, verify, convert": ours, "curl, sha256sum, gzip -d": theirs}
                seconds = in_turn({way: partial(measure, url, folder) for way, measure in ways.items()}, rounds)
        found = {way: [one / (size / 1e9) for one in each] for way, each in seconds.items()}
        kind = np.dtype(dtype).name
        compare(f"CPU of a {kind} source, {size / 1e6:.0f} MB archive, {os.cpu_count()} cores", "s/GB", found)


if __name__ == "__main__":
    main()
