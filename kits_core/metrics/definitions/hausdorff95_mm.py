"""95th percentile of the Hausdorff distance."""

from kits_core.metrics.metric import MaskPair, Metric


def measure(pair: MaskPair) -> float:
    """See `distance.hausdorff95_mm`."""
    from kits_core.metrics.distance import hausdorff95_mm  # noqa: PLC0415 - which loads SciPy

    return hausdorff95_mm(pair.distances_mm)


METRIC = Metric(
    "hausdorff95_mm",
    "HD95, mm",
    "distance",
    "the larger of the two directed 95th percentiles of those distances",
    measure,
    order=60,
)
