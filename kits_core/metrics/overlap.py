"""Masks, and the overlap of two: boolean arrays of one shape give a float from 0 (worst) to 1.

Empty rule of the challenge: both masks empty scores 1, just one of them 0.
"""

import numpy as np
from numpy.typing import NDArray

from kits_core.labels import Label, Region

Mask = NDArray[np.bool_]


def region_mask(labels: NDArray[np.uint8], region: Region) -> Mask:
    """Mask of the voxels with one of the region's labels, from a label map with values 0 to 3."""
    table = np.zeros(len(Label), np.bool_)
    table[list(region.labels)] = True
    return table[labels]


def dice(prediction: Mask, reference: Mask) -> float:
    """2|P n R| / (|P| + |R|). Dice 1945; Taha & Hanbury 2015, eq. 6. Both empty: 1; one: 0."""
    total = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return float(2 * np.count_nonzero(prediction & reference) / total) if total else 1.0


def iou(prediction: Mask, reference: Mask) -> float:
    """|P n R| / |P u R|, the index of Jaccard 1901. Both empty: 1; one: 0."""
    union = np.count_nonzero(prediction | reference)
    return float(np.count_nonzero(prediction & reference) / union) if union else 1.0


def volumetric_similarity(prediction: Mask, reference: Mask) -> float:
    """1 - ||P| - |R|| / (|P| + |R|); says nothing of the place. Taha & Hanbury 2015. Both empty: 1; one: 0."""
    p, r = np.count_nonzero(prediction), np.count_nonzero(reference)
    return float(1 - abs(p - r) / (p + r)) if p + r else 1.0
