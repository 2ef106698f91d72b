"""A measured value and its status. Imports nothing that computes."""

from dataclasses import dataclass
from enum import StrEnum

CSV_COLUMNS = ("case_id", "region", "metric", "value", "status")
"""Columns of a file of scores, one value a row."""


class Status(StrEnum):
    """Whether both masks had voxels when a value was measured, and if not, which one had none."""

    OK = "ok"
    PREDICTION_EMPTY = "prediction_empty"
    REFERENCE_EMPTY = "reference_empty"
    BOTH_EMPTY = "both_empty"
    MISSING = "missing"


@dataclass(frozen=True)
class Score:
    """One value of one region. `value` is None where the metric has none (a distance to an empty mask)."""

    region: str
    metric: str
    value: float | None
    status: Status
    seconds: float
