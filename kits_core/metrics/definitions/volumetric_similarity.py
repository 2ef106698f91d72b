"""Volumetric similarity."""

from kits_core.metrics.metric import MaskPair, Metric
from kits_core.metrics.overlap import volumetric_similarity


def measure(pair: MaskPair) -> float:
    """See `overlap.volumetric_similarity`."""
    return volumetric_similarity(pair.prediction, pair.reference)


METRIC = Metric(
    "volumetric_similarity",
    "volumetric similarity",
    "overlap",
    "1 - ||P|-|R|| / (|P|+|R|), which says nothing of the place (Taha & Hanbury 2015)",
    measure,
    order=40,
)
