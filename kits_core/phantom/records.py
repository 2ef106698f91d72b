"""Invented clinical records in the structure of the official `kits23.json`."""

from typing import Any

import cc3d
import numpy as np

from kits_core.labels import Label
from kits_core.phantom.fields import LabelArray

Record = dict[str, Any]

_COMORBIDITIES = (
    "myocardial_infarction",
    "congestive_heart_failure",
    "peripheral_vascular_disease",
    "cerebrovascular_disease",
    "dementia",
    "copd",
    "connective_tissue_disease",
    "peptic_ulcer_disease",
    "uncomplicated_diabetes_mellitus",
    "diabetes_mellitus_with_end_organ_damage",
    "chronic_kidney_disease",
    "hemiplegia_from_stroke",
    "leukemia",
    "malignant_lymphoma",
    "localized_solid_tumor",
    "metastatic_solid_tumor",
    "mild_liver_disease",
    "moderate_to_severe_liver_disease",
    "aids",
)
_COMPLICATIONS = ("blood_transfusion", "injury_to_surrounding_organ", "cardiac_event")
_SUBTYPES = {
    "clear_cell_rcc": 0.64,
    "papillary_rcc": 0.12,
    "chromophobe_rcc": 0.09,
    "oncocytoma": 0.09,
    "angiomyolipoma": 0.06,
}
_BENIGN = ("oncocytoma", "angiomyolipoma")


def largest_tumor_cm(labels: LabelArray, spacing_mm: tuple[float, float, float]) -> float:
    """Longest side of the box around the largest connected tumour, cm, one decimal; 0.0 without tumour voxels."""
    components, count = cc3d.connected_components(labels == Label.TUMOR, return_N=True)
    if not count:
        return 0.0
    facts = cc3d.statistics(components)
    largest = 1 + int(np.argmax(facts["voxel_counts"][1:]))
    sides = [(s.stop - s.start) * mm for s, mm in zip(facts["bounding_boxes"][largest], spacing_mm, strict=True)]
    return round(max(sides) / 10, 1)


def invent_record(
    case: str, labels: LabelArray, spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> Record:
    """A record for `case` with the official keys and value types; sizes and T stage follow from the tumour painted."""
    size_cm = largest_tumor_cm(labels, spacing_mm)
    subtype = str(rng.choice(list(_SUBTYPES), p=list(_SUBTYPES.values())))
    radical = size_cm > 5.5
    dead = bool(rng.random() < 0.12)
    egfr = float(rng.integers(45, 100))
    return {
        "case_id": case,
        "gender": str(rng.choice(["male", "female"], p=[0.6, 0.4])),
        "vital_status": "dead" if dead else "censored",
        "vital_days_after_surgery": int(rng.integers(30, 3000)),
        "bmi": round(float(rng.normal(30, 5)), 2),
        "comorbidities": {name: bool(rng.random() < 0.08) for name in _COMORBIDITIES},
        "age_at_nephrectomy": int(np.clip(rng.normal(60, 12), 20, 88)),
        "hospitalization": int(rng.integers(1, 7)),
        "er_visit": bool(rng.random() < 0.1),
        "readmission": bool(rng.random() < 0.1),
        "surgery_type": str(rng.choice(["robotic", "open", "laparoscopic"], p=[0.6, 0.25, 0.15])),
        "surgical_approach": "transperitoneal" if rng.random() < 0.87 else "retroperitoneal",
        "surgical_procedure": "radical_nephrectomy" if radical else "partial_nephrectomy",
        "estimated_blood_loss": int(rng.integers(1, 30)) * 25,
        "clavien_surgical_complications": str(rng.choice(["0", "1", "2"], p=[0.85, 0.1, 0.05])),
        "intraoperative_complications": {name: bool(rng.random() < 0.03) for name in _COMPLICATIONS},
        "ischemia_time": None if radical else int(rng.integers(10, 35)),
        "operative_time": int(rng.integers(110, 380)),
        **_habits(rng),
        "radiographic_size": size_cm,
        "cytoreductive": False,
        "pathologic_size": round(max(0.3, size_cm + float(rng.normal(0, 0.3))), 1),
        **_pathology(subtype, size_cm, rng),
        "last_preop_egfr": {"days_before_nephrectomy": int(rng.integers(1, 80)), "value": egfr},
        "first_postop_egfr": {"days_after_nephrectomy": int(rng.integers(30, 200)), "value": egfr - 8},
        "last_postop_egfr": {"days_after_nephrectomy": int(rng.integers(300, 2000)), "value": egfr - 5},
        "aua_risk_score": _risk(subtype, size_cm),
    }


def _habits(rng: np.random.Generator) -> Record:
    smoking = str(rng.choice(["never_smoked", "previous_smoker", "current_smoker"], p=[0.45, 0.4, 0.15]))
    return {
        "smoking_history": smoking,
        "age_when_quit_smoking": int(rng.integers(25, 60)) if smoking == "previous_smoker" else None,
        "pack_years": 0.0 if smoking == "never_smoked" else float(rng.integers(2, 50)),
        "chewing_tobacco_use": "never_or_not_in_the_last_3_months",
        "alcohol_use": str(rng.choice(["two_or_less_daily", "never_or_not_in_the_last_3_months"])),
    }


def _pathology(subtype: str, size_cm: float, rng: np.random.Generator) -> Record:
    malignant = subtype not in _BENIGN
    clear = malignant and size_cm > 6
    return {
        "malignant": malignant,
        "pathology_t_stage": _t_stage(size_cm) if malignant else "na",
        "pathology_n_stage": ("0" if clear else "x") if malignant else "na",
        "pathology_m_stage": ("0" if clear else "x") if malignant else "na",
        "tumor_histologic_subtype": subtype,
        "tumor_necrosis": bool(malignant and rng.random() < 0.25),
        "tumor_isup_grade": str(rng.integers(1, 5)) if malignant and subtype != "chromophobe_rcc" else "na",
        "positive_resection_margins": bool(rng.random() < 0.07),
        "sarcomatoid_features": bool(malignant and rng.random() < 0.05),
        "rhabdoid_features": False,
    }


def _t_stage(size_cm: float) -> str:
    """TNM by size alone: 1a to 4 cm, 1b to 7 cm, 2a to 10 cm, 2b above."""
    return next((stage for limit, stage in ((4, "1a"), (7, "1b"), (10, "2a")) if size_cm <= limit), "2b")


def _risk(subtype: str, size_cm: float) -> str:
    if subtype in _BENIGN:
        return "benign"
    return "low_risk" if size_cm <= 4 else "intermediate_risk" if size_cm <= 7 else "high_risk"
