"""Clinical records: typed columns for what people filter by, and all other values unchanged."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from kits_core.errors import CaseError, KitsError
from kits_core.source.records import CASE_KEY, CORRECT, parse_records, shown
from kits_core.source.text import decode


class ClinicalRecord(TypedDict):
    """One patient. None where the source has no value; `extra` holds every other key of the source, unchanged."""

    case_id: str
    patient_id: str | None
    sex: str | None
    age_years: int | None
    body_mass_index: float | None
    smoking_history: str | None
    radiographic_size_cm: float | None
    pathologic_size_cm: float | None
    malignant: bool | None
    tumor_histologic_subtype: str | None
    tumor_isup_grade: str | None
    tumor_necrosis: bool | None
    pathology_t_stage: str | None
    pathology_n_stage: str | None
    pathology_m_stage: str | None
    surgery_type: str | None
    surgical_procedure: str | None
    vital_status: str | None
    vital_days_after_surgery: int | None
    aua_risk_score: str | None
    extra: dict[str, Any]


COLUMNS: dict[str, tuple[str, type]] = {
    "patient_id": ("patient_id", str),
    "sex": ("gender", str),
    "age_years": ("age_at_nephrectomy", int),
    "body_mass_index": ("bmi", float),
    "smoking_history": ("smoking_history", str),
    "radiographic_size_cm": ("radiographic_size", float),
    "pathologic_size_cm": ("pathologic_size", float),
    "malignant": ("malignant", bool),
    "tumor_histologic_subtype": ("tumor_histologic_subtype", str),
    "tumor_isup_grade": ("tumor_isup_grade", str),
    "tumor_necrosis": ("tumor_necrosis", bool),
    "pathology_t_stage": ("pathology_t_stage", str),
    "pathology_n_stage": ("pathology_n_stage", str),
    "pathology_m_stage": ("pathology_m_stage", str),
    "surgery_type": ("surgery_type", str),
    "surgical_procedure": ("surgical_procedure", str),
    "vital_status": ("vital_status", str),
    "vital_days_after_surgery": ("vital_days_after_surgery", int),
    "aua_risk_score": ("aua_risk_score", str),
}
"""Column: the source's key and the column's type. Lengths are centimetres in the source.

KiTS23 has one scan a patient and no `patient_id`; a hospital that has several names the patient there.
"""


_NO_VALUE = frozenset({"", "nan", "nat", "<na>"})
"""What pandas and spreadsheets write as text where there is no value, in lower case."""
_NO_NUMBER = _NO_VALUE | {"na", "n/a", "none", "null"}
_INT32 = 2**31


@dataclass(frozen=True)
class Clinical:
    """What a `kits23.json` holds: `problems` are of records that are left out, one each."""

    records: tuple[ClinicalRecord, ...]
    problems: tuple[CaseError, ...]
    notes: tuple[str, ...]


def read_clinical(path: Path) -> Clinical:
    """The records of a `kits23.json`, in its order; see `parse_records` for how they may be laid out.

    A value that pandas or a spreadsheet turned into another type is turned back, and that is noted: `60.0` and `"60"`
    are the whole number 60, `2` and `2.0` the text "2", 0 and 1 false and true; NaN and the like are null. A value that
    is still of another type than its column's is a problem of its record, which names case, key and value. Keys may be
    missing: the column is None then. Raises `KitsError` for a file that holds no records at all.
    """
    try:
        text = decode(path.read_bytes(), strict=True)
    except (OSError, ValueError) as error:
        raise KitsError(f"{path}: expected clinical records in JSON; got {error}; fetch the file again") from error
    raw = parse_records(text, str(path))
    records, problems, turned = [], list(raw.problems), []
    for case, entry in raw.entries.items():
        try:
            record, changed = record_of(case, entry)
        except CaseError as error:
            problems.append(error)
        else:
            records.append(record)
            turned += changed
    notes: tuple[str, ...] = ()
    if turned:
        notes = (f"{path.name}: {len(turned)} values were of another type and turned back, as {turned[0]}",)
    return Clinical(tuple(records), tuple(problems), notes)


def record_of(case: str, entry: dict[str, Any]) -> tuple[ClinicalRecord, list[str]]:
    """The record, and a note on each of its values that had another type."""
    columns: dict[str, Any] = {}
    turned = []
    for column, (key, kind) in COLUMNS.items():
        value = entry.get(key)
        columns[column] = _typed(case, key, value, kind)
        if columns[column] is not None and type(value) is not kind and not (kind is float and type(value) is int):
            turned.append(f"{shown(value)} to {columns[column]!r} for {key} of {case}")
    taken = {key for key, _ in COLUMNS.values()} | {CASE_KEY}
    extra = {key: value for key, value in entry.items() if key not in taken}
    return ClinicalRecord(case_id=case, **columns, extra=extra), turned  # type: ignore[typeddict-item]


def _typed(case: str, key: str, value: Any, kind: type) -> Any:
    if value is None or (
        isinstance(value, str) and value.strip().lower() in (_NO_VALUE if kind is str else _NO_NUMBER)
    ):
        return None
    try:
        return _TURN[kind](value)
    except (TypeError, ValueError) as error:
        raise CaseError(
            case, expected=f"{kind.__name__} or null for {key}", got=shown(value), next_step=CORRECT
        ) from error


def _as_int(value: Any) -> int:
    """Raises `TypeError` or `ValueError` for what is no whole number of 32 bits, which a database's integer has."""
    number = _as_float(value)
    if not number.is_integer() or not -_INT32 <= number < _INT32:
        raise ValueError
    return int(number)


def _as_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _as_bool(value: Any) -> bool:
    truth = {"true": True, "false": False}.get(value.strip().lower()) if isinstance(value, str) else value
    if truth not in (0, 1):
        raise ValueError
    return bool(truth)


def _as_text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


_TURN: dict[type, Callable[[Any], Any]] = {int: _as_int, float: _as_float, bool: _as_bool, str: _as_text}
