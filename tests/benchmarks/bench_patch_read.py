"""Reading from the converted `.nii` against the `.nii.gz` it came from: a random 64³ patch, and the whole volume.

One run, the two ways in turn, medians of 5; both read by nibabel from the page cache.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from kits_core.source.convert import convert_image

SHAPE, PATCH, ROUNDS = (100, 512, 512), 64, 5


def seconds(read: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    read()
    return time.perf_counter() - start


def main() -> None:
    """Print both medians and their ratio."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        archive, converted = Path(name) / "imaging.nii.gz", Path(name) / "imaging.nii"
        scan = rng.normal(40, 20, SHAPE).astype(np.int16)
        nib.save(nib.Nifti1Image(scan, np.diag([3.0, 0.8, 0.8, 1.0])), archive)
        convert_image(archive, converted, case="case_00000")
        corners = [tuple(int(rng.integers(0, n - PATCH)) for n in SHAPE) for _ in range(ROUNDS)]

        def patch(path: Path, corner: tuple[int, ...]) -> object:
            return np.asarray(nib.load(path).dataobj[tuple(slice(c, c + PATCH) for c in corner)]).copy()

        def whole(path: Path) -> object:
            return np.asarray(nib.load(path).dataobj).copy()  # a copy: a memory map alone has read nothing

        for title, packed, plain in (
            ("64³ patch", [seconds(partial(patch, archive, c)) for c in corners],
             [seconds(partial(patch, converted, c)) for c in corners]),
            ("whole volume", [seconds(lambda: whole(archive)) for _ in corners],
             [seconds(lambda: whole(converted)) for _ in corners]),
        ):  # fmt: skip
            a, b = statistics.median(packed), statistics.median(plain)
            print(f"{title:<13} .nii.gz {a * 1000:8.1f} ms   .nii {b * 1000:8.1f} ms   {a / b:6.1f} times faster")


if __name__ == "__main__":
    main()
