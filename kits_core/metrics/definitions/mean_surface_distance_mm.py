"""Mean surface distance."""

from kits_core.metrics.metric import MaskPair, Metric


def measure(pair: MaskPair) -> float:
    """See `distance.mean_surface_distance_mm`."""
    from kits_core.metrics.distance import mean_surface_distance_mm  # noqa: PLC0415 - which loads SciPy

    return mean_surface_distance_mm(pair.distances_mm)


METRIC = Metric(
    "mean_surface_distance_mm",
    "mean surface distance, mm",
    "distance",
    "the mean of those distances over the voxels of both surfaces (Heimann et al. 2009)",
    measure,
    order=70,
)
