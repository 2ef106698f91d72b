"""What became of a measurement."""

from enum import StrEnum


class Status(StrEnum):
    """Whether a value was measured between two masks that are not empty, and if not, why not."""

    OK = "ok"
    PREDICTION_EMPTY = "prediction_empty"
    REFERENCE_EMPTY = "reference_empty"
    BOTH_EMPTY = "both_empty"
    MISSING = "missing"
