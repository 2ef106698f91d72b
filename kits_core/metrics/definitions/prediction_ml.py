"""Volume of the prediction."""

from kits_core.metrics.metric import MaskPair, Metric


def measure(pair: MaskPair) -> float:
    """In ml."""
    return pair.ml(pair.prediction)


METRIC = Metric(
    "prediction_ml",
    "predicted, ml",
    "volume",
    "voxels of the prediction times the voxel's volume",
    measure,
    order=90,
)
