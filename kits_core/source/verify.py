"""Is this file what it claims to be, do the two of a case belong together, and what do the labels hold?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kits_core.errors import CaseError
from kits_core.labels import Label
from kits_core.source.nifti import NiftiFacts, case_of, open_nifti

_CHUNK_VOXELS = 1 << 20
_AGREEMENT = 0.1
"""Share of a voxel by which the corners of two grids that count as the same may differ."""
_AIR_BELOW_HU, _TISSUE_ABOVE_HU, _MOST_BELOW_HU = -200, -100, 500


@dataclass(frozen=True)
class LabelVolume:
    """How much of a segmentation carries a label. Zero voxels are stated too."""

    label: Label
    voxels: int
    ml: float


def inspect(path: Path, *, case: str | None = None, read_all: bool = True) -> NiftiFacts:
    """The facts of a NIfTI file, gzipped or not.

    `read_all`: also read every byte, which finds truncation and wrong checksums; without it, an uncompressed file is
    still measured, and a gzipped one only has its header read (converting it reads it all anyhow). Raises `CaseError`
    naming `case` (by default the one in the path) for: no gzip or NIfTI, other than 3 axes, a non-finite or singular
    affine, a spacing <= 0, units other than mm, and data that are fewer or more than the header says.
    """
    with open_nifti(path, case) as reader:
        if read_all:
            for _ in reader.chunks(_CHUNK_VOXELS):
                pass
        return reader.facts


def check_pair(case: str, image: NiftiFacts, segmentation: NiftiFacts) -> None:
    """Raise `CaseError` unless both lie on the same grid: equal shapes, corners within a tenth of a voxel."""
    step = "correct either at the source; the next ingestion fetches it anew"
    if image.shape != segmentation.shape:
        raise CaseError(
            case,
            expected="image and segmentation of one shape",
            got=f"{image.shape} and {segmentation.shape}",
            next_step=step,
        )
    corners = np.array([[0, 0, 0, 1], [*image.shape, 1]], dtype=np.float64)
    corners = np.vstack([corners, [[image.shape[0], 0, 0, 1], [0, image.shape[1], 0, 1], [0, 0, image.shape[2], 1]]])
    apart = corners @ (np.array(image.affine) - np.array(segmentation.affine)).T
    furthest = float(np.linalg.norm(apart[:, :3], axis=1).max())
    if furthest > _AGREEMENT * min(image.spacing_mm):
        raise CaseError(
            case,
            expected="image and segmentation in one place",
            got=f"corners {furthest:.2f} mm apart",
            next_step=step,
        )


def check_hounsfield(case: str, hu_min: float, percentiles: Mapping[str, float]) -> None:
    """Raise `CaseError` unless the values can be Hounsfield units of a body: some air, and tissue in its place.

    Air has -1000 HU and fat about -100 by the scale's definition, soft organs 20 to 70, contrast in them 300. So a scan
    of an abdomen has voxels below -200 (air around the patient or in the bowel), some above -100, and three quarters
    below 500. Normalised or clipped images and values that were stored without their offset of -1024 have not.
    `percentiles`: HU, keyed `p75` and `p99.5`.
    """
    high, most = percentiles["p75"], percentiles["p99.5"]
    if hu_min <= _AIR_BELOW_HU and most >= _TISSUE_ABOVE_HU and high <= _MOST_BELOW_HU:
        return
    raise CaseError(
        case,
        expected=f"a CT in HU: air below {_AIR_BELOW_HU}, tissue above {_TISSUE_ABOVE_HU}, three quarters of all "
        f"below {_MOST_BELOW_HU}",
        got=f"a minimum of {hu_min:g}, a 75th percentile of {high:g} and a 99.5th of {most:g}",
        next_step="export the scan in HU (rescale slope and intercept applied), then ingest it again",
    )


def label_volumes(counts: Sequence[int], voxel_ml: float) -> tuple[LabelVolume, ...]:
    """Volumes of all four labels from the number of voxels of each value 0 to 3."""
    return tuple(LabelVolume(label, int(counts[label]), int(counts[label]) * voxel_ml) for label in Label)


def read_label_volumes(path: Path, *, case: str | None = None) -> tuple[LabelVolume, ...]:
    """Label volumes of a segmentation file. Raises `CaseError` as `inspect`, and for values other than 0 to 3."""
    counts = np.zeros(len(Label), np.int64)
    with open_nifti(path, case) as reader:
        facts = reader.facts
        for chunk in reader.chunks(_CHUNK_VOXELS):
            values = chunk.astype(np.float64) * facts.slope + facts.intercept
            counts += count_labels(case or case_of(path), values)
    return label_volumes([int(n) for n in counts], facts.voxel_ml)


def count_labels(
    case: str, values: np.ndarray[tuple[int, ...], np.dtype[np.number]]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Voxels of each label value 0 to 3, int64 `(4,)`. Raises `CaseError` for any other value, NaN included."""
    if values.size and not (values.min() >= 0 and values.max() <= max(Label)):
        raise _label_error(case, values)
    whole = values.astype(np.uint8, copy=False)
    if whole is not values and not np.array_equal(whole, values):
        raise _label_error(case, values)
    # Four comparisons of bytes take an eighth of the time of `bincount`, which widens each to 64 bits.
    return np.array([np.count_nonzero(whole == label) for label in Label], np.int64)


def _label_error(case: str, values: np.ndarray[tuple[int, ...], np.dtype[np.number]]) -> CaseError:
    wrong = np.setdiff1d(values, [int(label) for label in Label])[:5]
    return CaseError(
        case,
        expected="labels 0, 1, 2 and 3 in the segmentation",
        got=f"also {[v.item() for v in wrong]}",
        next_step="correct the segmentation at its source, then ingest the case again",
    )
