"""Intersection over union."""

from kits_core.metrics.metric import MaskPair, Metric
from kits_core.metrics.overlap import iou


def measure(pair: MaskPair) -> float:
    """See `overlap.iou`."""
    return iou(pair.prediction, pair.reference)


METRIC = Metric(
    "iou",
    "IoU",
    "overlap",
    "|P∩R| / |P∪R|, over voxels (Jaccard 1901)",
    measure,
    order=20,
)
