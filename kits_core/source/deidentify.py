"""Clinical records without identifying values. Values that analyses count and filter by stay."""

from collections.abc import Callable, Mapping
from typing import Any

from kits_core.source.clinical import ClinicalRecord

_OLDEST = 90
"""HIPAA's Safe Harbor: so few people are older than 89 that they count as one group."""
_OFFICIAL = frozenset(
    {
        *("comorbidities", "hospitalization", "er_visit", "readmission", "surgical_approach", "estimated_blood_loss"),
        *("clavien_surgical_complications", "intraoperative_complications", "ischemia_time", "operative_time"),
        *("cytoreductive", "age_when_quit_smoking", "pack_years", "chewing_tobacco_use", "alcohol_use"),
        *("positive_resection_margins", "sarcomatoid_features", "rhabdoid_features"),
        *("last_preop_egfr", "first_postop_egfr", "last_postop_egfr"),
    }
)
"""Keys of KiTS23's records beyond the columns. A hospital's own keys may hold anything, and are left out."""
_FREE_TEXT = " \t\n,;:/@"
"""Characters that sentences and names have, and KiTS23's categories, such as `partial_nephrectomy`, do not."""
_LONGEST_WORD = 40


def deidentified(record: ClinicalRecord, case: str, pseudonym: Callable[[str], str]) -> ClinicalRecord:
    """The record of `case`, which is its pseudonym. `pseudonym` gives one for the patient's id.

    Ages from 90 on are 90. Only texts of a single word stay, as categories are. Keys that KiTS23 does not have are left
    out.
    """
    columns: dict[str, Any] = {name: _category(value) for name, value in record.items() if name != "extra"}
    patient, age = record["patient_id"], record["age_years"]
    columns |= {
        "case_id": case,
        "patient_id": pseudonym(patient) if patient else None,
        "age_years": None if age is None else min(age, _OLDEST),
        "extra": {key: _counted(value) for key, value in record["extra"].items() if key in _OFFICIAL},
    }
    return ClinicalRecord(**columns)  # type: ignore[typeddict-item]


def _category(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return value if len(value) <= _LONGEST_WORD and not any(letter in value for letter in _FREE_TEXT) else None


def _counted(value: Any) -> Any:
    """Numbers, truth values and words of categories, nested as they are; None for all else."""
    if isinstance(value, Mapping):
        return {key: _counted(inner) for key, inner in value.items() if _category(key) is not None}
    return None if isinstance(value, list) else _category(value)
