"""A hospital's table of patients, to its cases."""

import shutil

import pytest

from flows.ingest import ingest
from flows.parameters import IngestParameters

pytestmark = pytest.mark.usefixtures("prefect_api", "home")

CASES = ("p1", "p2", "p3")
_ASK = "SELECT age_years, patient_id FROM clinical_record ORDER BY case_id"


@pytest.fixture
def hospital(phantoms, tmp_path):
    for number, case in enumerate(CASES):
        for folder, file in (("images", "imaging"), ("masks", "segmentation")):
            (tmp_path / "hospital" / folder).mkdir(parents=True, exist_ok=True)
            source = phantoms / f"case_0000{number}" / f"{file}.nii.gz"
            shutil.copy(source, tmp_path / "hospital" / folder / f"{case}.nii.gz")
    return tmp_path / "hospital"


def test_shown_first_then_taken(hospital, kits, rows, tmp_path):
    ingest(IngestParameters(source=str(hospital)))
    table = tmp_path / "patients.csv"
    table.write_text("Fall;Alter;patient_id\np1;33;P7\np2;34;\np9;35;\np3;old;\n")
    words = ("records", str(table), "--column", "Fall=case", "--column", "Alter=age_years")
    shown = kits(*words)
    assert "hospital: 2 records of cases; --yes takes them" in shown
    assert "p9" in shown
    assert "p3: expected int or null for age_at_nephrectomy, got 'old'" in shown
    assert rows(_ASK) == []
    assert "2 records of cases, taken" in kits(*words, "--yes")
    assert rows(_ASK) == [(33, "P7"), (34, None)]
    table.write_text("case,contrast_phase\np1,Nephrogenic\np2,venous\n")
    kits("records", str(table), "--yes")
    ingest(IngestParameters(source=str(hospital)))
    phases = "SELECT case_name, phase FROM case_overview ORDER BY 1"
    assert rows(phases) == [("p1", "nephrogenic"), ("p2", None), ("p3", None)]
    assert rows(_ASK) == [(None, "P7"), (None, None)]
    table.write_text("case,age_years\np1,40\n")
    kits("records", str(table), "--yes")
    assert rows(_ASK) == [(40, "P7"), (None, None)]


def test_records_of_the_source_are_not_mixed_with_a_table(phantoms, kits, tmp_path):
    """The next ingestion would take them again, and the table's would be gone."""
    ingest(IngestParameters(source=str(phantoms), dataset="phantoms", cases="0"))
    table = tmp_path / "t.csv"
    table.write_text("case,age_years\ncase_00000,40\n")
    assert "expected a dataset without records of its own" in kits("records", str(table), status=1)
