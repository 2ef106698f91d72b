"""Describes a scan in a few numbers that can be compared with those of other scans."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from kits_core.geometry import read_volume
from kits_core.geometry.body import body_mask
from kits_core.geometry.volume import Volume
from kits_core.labels import Label

_PERCENTILES = (5, 50, 95)
KIDNEY_MEDIAN = "kidney_median_hu"


@dataclass(frozen=True)
class Feature:
    """How a feature is shown. `margin`: the least by which its training range is widened. `digits`: decimals."""

    words: str
    unit: str
    margin: float
    digits: int

    def text(self, value: float) -> str:
        """The value with its unit."""
        return f"{self.number(value)} {self.unit}"

    def number(self, value: float) -> str:
        """The value without its unit."""
        return f"{value:.{self.digits}f}"


FEATURES = {
    "slice_spacing_mm": Feature("slice spacing", "mm", 0.5, 1),
    "in_plane_spacing_mm": Feature("in-plane spacing", "mm", 0.05, 2),
    "head_foot_extent_mm": Feature("extent from head to foot", "mm", 20, 0),
    "in_plane_extent_mm": Feature("largest in-plane extent", "mm", 20, 0),
    "body_p5_hu": Feature("5th percentile inside the body", "HU", 20, 0),
    "body_p50_hu": Feature("median inside the body", "HU", 20, 0),
    "body_p95_hu": Feature("95th percentile inside the body", "HU", 20, 0),
    KIDNEY_MEDIAN: Feature("median of the kidneys", "HU", 10, 0),
}


def describe(volume: Volume, labels: NDArray[np.uint8]) -> dict[str, float]:
    """The `FEATURES` of a scan, by name.

    `volume`: HU; `labels`: values of `Label` on the same grid. The slice spacing is the largest of the three, the
    in-plane spacing the larger of the other two. HU of the body are those of `body_mask`, every 4 mm. The median of the
    kidneys is that of all voxels of the label kidney; it is left out where there are none.
    """
    _, in_plane, slice_mm = sorted(volume.spacing_mm)
    extents = [n * mm for n, mm in zip(volume.shape, volume.spacing_mm, strict=True)]
    head_foot = int(np.flatnonzero(nib.io_orientation(volume.affine)[:, 0] == 2)[0])
    found = {
        "slice_spacing_mm": slice_mm,
        "in_plane_spacing_mm": in_plane,
        "head_foot_extent_mm": extents[head_foot],
        "in_plane_extent_mm": max(mm for axis, mm in enumerate(extents) if axis != head_foot),
    }
    body, seen = body_mask(volume)
    values = seen[body] if body.any() else seen.ravel()
    for percent, hu in zip(_PERCENTILES, np.percentile(values, _PERCENTILES), strict=True):
        found[f"body_p{percent}_hu"] = float(hu)
    kidneys = _kidney_values(volume.data, labels)
    if kidneys.size:
        found[KIDNEY_MEDIAN] = float(np.median(kidneys))
    return found


def describe_files(image: Path, segmentation: Path) -> dict[str, float]:
    """`describe` of a case's converted files."""
    return describe(read_volume(image), read_volume(segmentation).data)


def _kidney_values(hu: NDArray[Any], labels: NDArray[np.uint8]) -> NDArray[Any]:
    """HU of all kidney voxels, picked plane by plane along the slowest axis, so that no mask of the whole is made."""
    slow = int(np.argmax(np.abs(labels.strides)))
    planes = zip(np.moveaxis(hu, slow, 0), np.moveaxis(labels, slow, 0), strict=True)
    return np.concatenate([values[part == Label.KIDNEY] for values, part in planes])
