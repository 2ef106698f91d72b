"""The metrics that there are."""

from kits_core.labels import Region
from kits_core.metrics.definitions import DEFINITIONS
from kits_core.metrics.metric import Metric

METRICS: tuple[Metric, ...] = tuple(sorted(DEFINITIONS.load().values(), key=lambda metric: (metric.order, metric.name)))
"""Every metric, in the order in which they are shown. P and R: the voxels of prediction and reference."""

BY_NAME = {metric.name: metric for metric in METRICS}


def metrics_of(region: Region) -> tuple[Metric, ...]:
    """The metrics that a region has: some need a tolerance."""
    return tuple(m for m in METRICS if not m.needs_tolerance or region.tolerance_mm is not None)
