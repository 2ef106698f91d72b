"""Hausdorff distance."""

from kits_core.metrics.metric import MaskPair, Metric


def measure(pair: MaskPair) -> float:
    """See `distance.hausdorff_mm`."""
    from kits_core.metrics.distance import hausdorff_mm  # noqa: PLC0415 - which loads SciPy

    return hausdorff_mm(pair.distances_mm)


METRIC = Metric(
    "hausdorff_mm",
    "Hausdorff, mm",
    "distance",
    "the largest distance of a surface voxel's centre to the other surface (Taha & Hanbury 2015)",
    measure,
    order=50,
)
