"""Predictions made from real masks by what models do wrong: shifted, grown, shrunk, parts lost, islands added."""

from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion

Labels = NDArray[np.uint8]
Spacing = tuple[float, float, float]

MASKS = Path(__file__).parents[3] / "shared" / "kits23" / "dataset"


def read_mask(folder: Path) -> tuple[Labels, Spacing, NDArray[np.float64]]:
    """Labels, spacing in mm and affine of a case's reference."""
    image = nib.load(folder / "segmentation.nii.gz")
    i, j, k = (float(mm) for mm in image.header.get_zooms())
    return np.asarray(image.dataobj, dtype=np.uint8), (i, j, k), image.affine


def spoilt(reference: Labels, seed: int) -> Iterator[tuple[str, Labels]]:
    """Six predictions of a reference, by name."""
    rng = np.random.default_rng(seed)
    shift = tuple(int(n) for n in rng.integers(-4, 5, 3))
    yield "shifted", np.roll(reference, shift, (0, 1, 2))
    box = tuple(slice(max(0, hits.min() - 3), hits.max() + 4) for hits in np.nonzero(reference))
    part = reference[box]
    yield "tumour grown", _in_box(reference, box, np.where(binary_dilation(part == 2, iterations=2), 2, part))
    shrunk = np.where(binary_erosion(part > 0, iterations=2), part, 0)
    yield "shrunk", _in_box(reference, box, shrunk)
    yield "tumour and cyst lost", _in_box(reference, box, np.where(part >= 2, 1, part))
    yield "islands added", _with_islands(reference, rng)
    yield "nothing found", np.zeros_like(reference)


def _in_box(reference: Labels, box: tuple[slice, ...], part: NDArray[np.generic]) -> Labels:
    changed = reference.copy()
    changed[box] = part
    return changed


def _with_islands(reference: Labels, rng: np.random.Generator) -> Labels:
    changed = reference.copy()
    for label in (1, 2, 3):
        corner = [int(rng.integers(0, n - 6)) for n in reference.shape]
        changed[tuple(slice(c, c + int(rng.integers(1, 6))) for c in corner)] = label
    return changed
