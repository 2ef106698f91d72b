"""Clinical records: what people filter by as typed columns, the rest as it came."""

import json
from pathlib import Path
from typing import Any, TypedDict

from kits_core.errors import KitsError, check_case_name


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


_COLUMNS: dict[str, tuple[str, type]] = {
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


def read_clinical(path: Path) -> list[ClinicalRecord]:
    """The records of a `kits23.json`, in its order.

    Raises `KitsError` for a file that is not a JSON list of records, a repeated case, or a value of another type than
    its column's; the message names case, key and value. Keys may be missing: the column is None then.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise KitsError(f"{path}: expected clinical records in JSON; got {error}; fetch the file again") from error
    if not isinstance(raw, list) or not all(isinstance(record, dict) and "case_id" in record for record in raw):
        raise KitsError(f"{path}: expected a list of records with case_id; fetch the file again")
    records = [_record(entry) for entry in raw]
    seen: set[str] = set()
    for record in records:
        if record["case_id"] in seen:
            raise KitsError(f"{path}: expected one record a case; {record['case_id']} stands there twice; remove one")
        seen.add(record["case_id"])
    return records


def _record(entry: dict[str, Any]) -> ClinicalRecord:
    case = check_case_name(str(entry["case_id"]))
    columns: dict[str, Any] = {
        column: _typed(case, key, entry.get(key), kind) for column, (key, kind) in _COLUMNS.items()
    }
    taken = {key for key, _ in _COLUMNS.values()} | {"case_id"}
    extra = {key: value for key, value in entry.items() if key not in taken}
    return ClinicalRecord(case_id=case, **columns, extra=extra)  # type: ignore[typeddict-item]


def _typed(case: str, key: str, value: Any, kind: type) -> Any:
    if value is None:
        return None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise KitsError(f"{case}: expected {kind.__name__} or null for {key}, got {value!r}; correct the record")
    return value
