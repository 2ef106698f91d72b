from datetime import UTC, datetime

import pandas as pd
import pytest

from kits_core.errors import KitsError
from kits_core.source.tables import parse_columns, read_table

FRAME = pd.DataFrame(
    {
        "Fall": ["张三", "case_00001", "x/7"],
        "Alter": [60.0, None, 71.0],
        "sex": ["male", "female", None],
        "pathology_t_stage": [2, "1a", None],
        "malignant": [True, None, False],
        "Notiz": ["a;b", None, "c"],
    }
)
MAP = {"case_id": "Fall", "age_at_nephrectomy": "Alter"}


def _write(frame, path):
    if path.suffix == ".xlsx":
        frame.to_excel(path, index=False)
    elif path.name.startswith("german"):
        frame.to_csv(path, index=False, sep=";", encoding="utf-8-sig")
    else:
        frame.to_csv(path, index=False, encoding="utf-16" if path.name.startswith("utf16") else "utf-8")
    return path


@pytest.mark.parametrize("name", ["t.csv", "german.csv", "utf16.csv", "t.xlsx"])
def test_as_pandas_and_excel_write_them(tmp_path, name):
    table = read_table(_write(FRAME, tmp_path / name), MAP)
    first, second, third = table.clinical.records
    assert [one["case_id"] for one in table.clinical.records] == ["张三", "case_00001", "x/7"]
    assert (first["age_years"], first["sex"], first["malignant"]) == (60, "male", True)
    assert first["pathology_t_stage"] == "2"
    assert (second["age_years"], second["pathology_t_stage"], second["malignant"]) == (None, "1a", None)
    assert third["sex"] is None
    assert first["extra"] == {"Notiz": "a;b"}
    assert table.taken == {
        "case": "Fall", "sex": "sex", "age_years": "Alter", "malignant": "malignant",
        "pathology_t_stage": "pathology_t_stage",
    }  # fmt: skip
    assert table.extra == ("Notiz",)
    assert not table.clinical.problems


def test_a_map_takes_names_of_the_catalog_and_of_kits(tmp_path):
    assert parse_columns(["Alter=age_years", "Fall=case"]) == {"age_at_nephrectomy": "Alter", "case_id": "Fall"}
    assert parse_columns(["a=b=gender"]) == {"gender": "a=b"}
    for option, message in (("Alter", "expected COLUMN=NAME"), ("Alter=alter", "case or one of patient_id, sex")):
        with pytest.raises(KitsError, match=message):
            parse_columns([option])
    with pytest.raises(KitsError, match="age_years for 'a' too"):
        parse_columns(["a=age_years", "b=age_years"])


def test_a_row_that_cannot_be_used_costs_itself(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("case,age_years,bmi\na,old,20\nb,50,1e999\nc,51,22\nc,52,22\n,53,22\n,,\nd,54,\n")
    clinical = read_table(path, {}).clinical
    assert [one["case_id"] for one in clinical.records] == ["d"]
    assert [str(problem).partition(";")[0] for problem in clinical.problems] == [
        "a: expected int or null for age_at_nephrectomy, got 'old'",
        "b: expected float or null for bmi, got '1e999'",
        "c: expected one row a case, got two that differ",
        "row 6: expected a case, got none",
    ]


def test_dates_are_text(tmp_path):
    frame = pd.DataFrame({"case": ["a"], "seen": [datetime(2026, 1, 31, tzinfo=UTC).replace(tzinfo=None)]})
    (record,) = read_table(_write(frame, tmp_path / "t.xlsx"), {}).clinical.records
    assert record["extra"] == {"seen": "2026-01-31T00:00:00"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "whose first row names its columns"),
        (b"age,age\n1,2\n", "each column once, got age twice"),
        (b"patient,age\n1,2\n", r"expected a column case, or case_id, got patient, age; say which one it is"),
        (b"PK\x03\x04 not a workbook", "expected a workbook"),
        (b"\xff\xfe\x00\xd8", "expected a table in UTF-8 or UTF-16"),
    ],
)
def test_what_is_no_table(tmp_path, content, message):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(KitsError, match=message):
        read_table(tmp_path / "t", {})


def test_a_column_of_the_map_that_is_not_there(tmp_path):
    path = _write(FRAME, tmp_path / "t.csv")
    with pytest.raises(KitsError, match=r"expected a column 'Age', got Fall, Alter"):
        read_table(path, {"age_at_nephrectomy": "Age"})
    with pytest.raises(KitsError, match="No such file"):
        read_table(tmp_path / "none.csv", {})
