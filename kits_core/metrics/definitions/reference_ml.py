"""Volume of the reference."""

from kits_core.metrics.metric import MaskPair, Metric, volume_ml


def measure(pair: MaskPair) -> float:
    """In ml."""
    return volume_ml(pair.reference, pair.spacing_mm)


METRIC = Metric(
    "reference_ml",
    "reference, ml",
    "volume",
    "voxels of the reference times the voxel's volume",
    measure,
    order=100,
)
