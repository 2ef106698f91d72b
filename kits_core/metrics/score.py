"""A measured value and what became of its measurement. Imports nothing that measures."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Whether a value was measured between two masks that are not empty, and if not, why not."""

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
