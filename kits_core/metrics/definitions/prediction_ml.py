"""Volume of the prediction."""

from kits_core.metrics.metric import MaskPair, Metric, volume_ml


def measure(pair: MaskPair) -> float:
    """In ml."""
    return volume_ml(pair.prediction, pair.spacing_mm)


METRIC = Metric(
    "prediction_ml",
    "predicted, ml",
    "volume",
    "voxels of the prediction times the voxel's volume",
    measure,
    order=90,
)
