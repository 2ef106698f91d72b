"""Is this file what it claims to be, do the two of a case belong together, and what do the labels hold?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kits_core.errors import CaseError
from kits_core.geometry.grid import LEAST_SLICES, apart_mm, same_place
from kits_core.labels import Label
from kits_core.source.nifti import NiftiFacts

AT_SOURCE = "correct either at the source; the next ingestion fetches it anew"
"""What to do about an image and a segmentation that do not belong together."""
_NEARLY_WHOLE = 0.01
"""How far a label may be from a whole number: a header's scale factor may make 0.996 of 1."""
_IDENTITY = {int(label): label for label in Label}
_AIR_BELOW_HU, _TISSUE_ABOVE_HU, _MOST_BELOW_HU = -200, -100, 500


@dataclass(frozen=True)
class LabelVolume:
    """How much of a segmentation carries a label. Zero voxels are stated too."""

    label: Label
    voxels: int
    ml: float


def check_pair(case: str, image: NiftiFacts, segmentation: NiftiFacts, *, next_step: str = AT_SOURCE) -> None:
    """Raise `CaseError` unless both lie on the same grid: equal shapes, corners within a tenth of a voxel."""
    if image.shape != segmentation.shape:
        raise CaseError(
            case,
            expected="image and segmentation of one shape",
            got=f"{image.shape} and {segmentation.shape}",
            next_step=next_step,
        )
    affines = np.array(image.affine), np.array(segmentation.affine)
    if not same_place(image.shape, *affines):
        raise CaseError(
            case,
            expected="image and segmentation in one place",
            got=f"corners {apart_mm(image.shape, *affines):.2f} mm apart",
            next_step=next_step,
        )


def check_shape(case: str, shape: Sequence[int]) -> None:
    """Raise `CaseError` for a scan with fewer than 8 voxels along an axis."""
    if min(shape) < LEAST_SLICES:
        raise CaseError(
            case,
            expected=f"a scan of at least {LEAST_SLICES} slices",
            got=f"{tuple(shape)} voxels",
            next_step="export the whole series",
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


def to_labels(
    values: NDArray[Any], error: Callable[[str, str], CaseError], meanings: Mapping[int, Label] | None = None
) -> tuple[NDArray[np.uint8], bool]:
    """Values of any real type as uint8 labels 0 to 3, and whether some were only nearly whole numbers.

    `meanings`: the label of each value, 0 being background unless it says otherwise; None where values are labels.
    Raises `error(expected, got)` for values that are not within 0.01 of a known one, NaN included.
    """
    known = _IDENTITY if meanings is None else {0: Label.BACKGROUND, **meanings}
    whole = values
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise _label_error(values, error, known)
        whole = np.rint(values)
        if not (np.abs(values - whole) <= _NEARLY_WHOLE).all():
            raise _label_error(values, error, known)
    if known is _IDENTITY:
        labels = whole.astype(np.uint8, copy=False)
        is_known = not whole.size or (whole.min() >= 0 and whole.max() <= max(Label))
    else:
        labels, is_known = _looked_up(whole, known)
    if not is_known:
        raise _label_error(values, error, known)
    rounded = whole is not values and not np.array_equal(whole, values)
    return labels, rounded


def _looked_up(whole: NDArray[Any], known: Mapping[int, Label]) -> tuple[NDArray[np.uint8], bool]:
    """The labels of whole numbers, and whether each has one."""
    labels = np.zeros(whole.shape, np.uint8)
    left = whole.size
    for value, label in known.items():
        there = whole == value
        labels[there] = label
        left -= int(np.count_nonzero(there))
    return labels, left == 0


def _label_error(values: NDArray[Any], error: Callable[[str, str], CaseError], known: Mapping[int, Label]) -> CaseError:
    found = np.unique(values)
    with np.errstate(invalid="ignore"):  # infinity less infinity
        near = (np.abs(found[:, None].astype(np.float64) - np.array(sorted(known))) <= _NEARLY_WHOLE).any(axis=1)
    *most, last = map(str, sorted(known))
    return error(f"labels {', '.join(most)} and {last}", f"also {[v.item() for v in found[~near][:5]]}")
