"""Whether the region was found at all."""

from kits_core.metrics.metric import MaskPair, Metric


def measure(pair: MaskPair) -> float:
    """1 or 0."""
    return float((pair.prediction & pair.reference).any())


METRIC = Metric(
    "detected",
    "detected",
    "detection",
    "1 where prediction and reference share a voxel, 0 where they share none; none where the reference is empty",
    measure,
    order=80,
)
