from kits_core.source.clinical import read_clinical
from kits_core.source.deidentify import deidentified


def test_what_analyses_need_stays_and_what_tells_who_goes(tmp_path):
    path = tmp_path / "kits23.json"
    path.write_text(
        '[{"case_id": "case_00001", "patient_id": "4711", "gender": "male", "age_at_nephrectomy": 93, "bmi": 27.5,'
        '"smoking_history": "as Mr. Doe said", "surgery_type": "open", "malignant": true, "name": "Doe",'
        '"comorbidities": {"copd": true, "notes": "Jane Doe", "Jane Doe": true}, "alcohol_use": "two_or_less_daily",'
        '"hospitalization": 3, "mrn": 8842, "last_preop_egfr": {"value": 77.0}}]'
    )
    (record,) = read_clinical(path).records
    found = deidentified(record, "P-1", lambda text: f"P-{text[::-1]}")
    assert (found["case_id"], found["patient_id"]) == ("P-1", "P-1174")
    assert (found["sex"], found["age_years"], found["body_mass_index"], found["malignant"]) == ("male", 90, 27.5, True)
    assert (found["smoking_history"], found["surgery_type"]) == (None, "open")
    assert found["extra"] == {
        "comorbidities": {"copd": True, "notes": None},
        "alcohol_use": "two_or_less_daily",
        "hospitalization": 3,
        "last_preop_egfr": {"value": 77.0},
    }


def test_what_is_not_known_stays_unknown(tmp_path):
    path = tmp_path / "kits23.json"
    path.write_text('[{"case_id": "case_00001"}]')
    found = deidentified(read_clinical(path).records[0], "P-1", str)
    assert {name for name, value in found.items() if value not in (None, {})} == {"case_id"}
