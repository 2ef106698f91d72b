"""The metrics, and the status of a measured value. Imports nothing that computes."""

from dataclasses import dataclass
from enum import StrEnum

from kits_core.labels import Region
from kits_core.metrics.definitions import DEFINITIONS
from kits_core.metrics.metric import Metric

CSV_COLUMNS = ("case_id", "region", "metric", "value", "status")
"""Columns of a file of scores, one value a row."""


class Status(StrEnum):
    """Whether both masks had voxels when a value was measured, and if not, which one had none."""

    OK = "ok"
    PREDICTION_EMPTY = "prediction_empty"
    REFERENCE_EMPTY = "reference_empty"
    BOTH_EMPTY = "both_empty"
    MISSING = "missing"


METRICS: tuple[Metric, ...] = tuple(sorted(DEFINITIONS.load().values(), key=lambda metric: (metric.order, metric.name)))
"""Every metric, in the order in which they are shown. P and R: the voxels of prediction and reference."""

BY_NAME = {metric.name: metric for metric in METRICS}


def metrics_of(region: Region) -> tuple[Metric, ...]:
    """The metrics that a region has: some need a tolerance."""
    return tuple(m for m in METRICS if not m.needs_tolerance or region.tolerance_mm is not None)


@dataclass(frozen=True)
class Score:
    """One value of one region. `value` is None where the metric has none (a distance to an empty mask)."""

    region: str
    metric: str
    value: float | None
    status: Status
    seconds: float
