"""Dice."""

from kits_core.metrics.metric import MaskPair, Metric
from kits_core.metrics.overlap import dice


def measure(pair: MaskPair) -> float:
    """See `overlap.dice`."""
    return dice(pair.prediction, pair.reference)


METRIC = Metric(
    "dice",
    "Dice",
    "overlap",
    "2|P∩R| / (|P|+|R|), over voxels (Dice 1945)",
    measure,
    order=10,
)
