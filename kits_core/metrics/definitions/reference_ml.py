"""Volume of the reference."""

from kits_core.metrics.metric import MaskPair, Metric


def measure(pair: MaskPair) -> float:
    """In ml."""
    return pair.ml(pair.reference)


METRIC = Metric(
    "reference_ml",
    "reference, ml",
    "volume",
    "voxels of the reference times the voxel's volume",
    measure,
    order=100,
)
