"""A hospital's table of patients, to its cases."""

import pytest

from flows.ingest import ingest
from flows.parameters import IngestParameters

pytestmark = pytest.mark.usefixtures("prefect_api", "home")


def test_shown_first_then_taken(phantoms, kits, rows, tmp_path):
    ingest(IngestParameters(source=str(phantoms), dataset="phantoms", cases="0-2"))
    before = rows("SELECT age_years, patient_id FROM clinical_record ORDER BY case_id")
    table = tmp_path / "patients.csv"
    table.write_text("Fall;Alter;patient_id\ncase_00000;33;P7\ncase_00001;34;\ncase_00009;35;\ncase_00002;old;\n")
    words = ("records", str(table), "--column", "Fall=case", "--column", "Alter=age_years")
    shown = kits(*words)
    assert "phantoms: 2 records of cases; --yes takes them" in shown
    assert "case_00009" in shown
    assert "case_00002: expected int or null for age_at_nephrectomy, got 'old'" in shown
    assert rows("SELECT age_years, patient_id FROM clinical_record ORDER BY case_id") == before
    assert "2 records of cases, taken" in kits(*words, "--yes")
    found = rows("SELECT age_years, patient_id FROM clinical_record ORDER BY case_id")
    assert found == [(33, "P7"), (34, None), before[2]]
    table.write_text("case,age_years\ncase_00000,40\n")
    kits("records", str(table), "--yes")
    assert rows("SELECT age_years, patient_id FROM clinical_record ORDER BY case_id")[0] == (40, "P7")
