import json
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from kits_core.errors import KitsError
from kits_core.source.clinical import ClinicalRecord, read_clinical

_OFFICIAL = Path(__file__).parents[3].parent / "shared" / "kits23" / "dataset" / "kits23.json"


def _read(tmp_path, content):
    file = tmp_path / "kits23.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_clinical(file)


def _entry(**values):
    return {"case_id": "case_00001", **values}


def test_columns_are_typed_and_the_rest_is_kept(tmp_path):
    entry = {"case_id": "case_00007", "gender": "female", "bmi": 30, "malignant": True, "radiographic_size": 2.5}
    clinical = _read(tmp_path, [{**entry, "surgical_approach": "retroperitoneal", "comorbidities": {"copd": False}}])
    (record,) = clinical.records
    assert (clinical.problems, clinical.notes) == ((), ())
    assert record.keys() == ClinicalRecord.__annotations__.keys()
    assert (record["sex"], record["body_mass_index"], record["radiographic_size_cm"]) == ("female", 30.0, 2.5)
    assert isinstance(record["body_mass_index"], float)
    assert record["age_years"] is None
    assert record["extra"] == {"surgical_approach": "retroperitoneal", "comorbidities": {"copd": False}}


@pytest.mark.parametrize(("content", "message"), [("not json", "in JSON"), ([1], "list of records")])
def test_a_file_without_records_is_refused(tmp_path, content, message):
    with pytest.raises(KitsError, match=message):
        _read(tmp_path, content)


def test_bytes_of_no_unicode_are_refused(tmp_path):
    (tmp_path / "kits23.json").write_bytes(b'[{"case_id": "case_00001", "gender": "m\xe4nnlich"}]')
    with pytest.raises(KitsError, match="in JSON"):
        read_clinical(tmp_path / "kits23.json")


@pytest.mark.parametrize(
    ("key", "value", "expected", "got"),
    [
        ("malignant", "yes", "bool or null for malignant", "'yes'"),
        ("malignant", 2, "bool or null for malignant", "2"),
        ("malignant", [], "bool or null for malignant", "[]"),
        ("age_at_nephrectomy", True, "int or null for age_at_nephrectomy", "True"),
        ("age_at_nephrectomy", 60.5, "int or null for age_at_nephrectomy", "60.5"),
        ("age_at_nephrectomy", "sixty", "int or null for age_at_nephrectomy", "'sixty'"),
        ("age_at_nephrectomy", 3_000_000_000, "int or null for age_at_nephrectomy", "3000000000"),
        ("bmi", True, "float or null for bmi", "True"),
        ("bmi", "1e999", "float or null for bmi", "'1e999'"),
        ("bmi", {}, "float or null for bmi", "{}"),
        ("gender", True, "str or null for gender", "True"),
        ("gender", ["male"], "str or null for gender", "['male']"),
    ],
)
def test_one_wrong_record_is_one_problem(tmp_path, key, value, expected, got):
    clinical = _read(tmp_path, [_entry(**{key: value}), {"case_id": "case_00002"}])
    (problem,) = clinical.problems
    assert str(problem) == (
        f"case_00001: expected {expected}, got {got}; correct the record at its source, then ingest again"
    )
    assert [record["case_id"] for record in clinical.records] == ["case_00002"]


@pytest.mark.parametrize(
    ("key", "value", "column", "expected"),
    [
        ("age_at_nephrectomy", 60.0, "age_years", 60),
        ("age_at_nephrectomy", "60", "age_years", 60),
        ("age_at_nephrectomy", "60.0", "age_years", 60),
        ("bmi", "27.5", "body_mass_index", 27.5),
        ("malignant", 1, "malignant", True),
        ("malignant", 0.0, "malignant", False),
        ("malignant", "TRUE", "malignant", True),
        ("tumor_isup_grade", 2, "tumor_isup_grade", "2"),
        ("tumor_isup_grade", 2.0, "tumor_isup_grade", "2"),
        ("patient_id", 20260101001, "patient_id", "20260101001"),
    ],
)
def test_what_pandas_and_spreadsheets_turn_is_turned_back_and_noted(tmp_path, key, value, column, expected):
    clinical = _read(tmp_path, [_entry(**{key: value})])
    (record,) = clinical.records
    assert record[column] == expected
    assert type(record[column]) is type(expected)
    (note,) = clinical.notes
    turned = f"{value!r} to {expected!r} for {key} of case_00001"
    assert note == f"kits23.json: 1 values were of another type and turned back, as {turned}"


@pytest.mark.parametrize("nothing", ["NaN", '""', '"nan"', '"NaN"', '"<NA>"', "null"])
def test_no_value_is_none(tmp_path, nothing):
    keys = ("age_at_nephrectomy", "bmi", "malignant", "gender")
    text = ", ".join(f'"{key}": {nothing}' for key in keys)
    clinical = _read(tmp_path, f'\ufeff[{{"case_id": "case_00001", {text}, "kept": {nothing}}}]')
    (record,) = clinical.records
    assert [record[column] for column in ("age_years", "body_mass_index", "malignant", "sex")] == [None] * 4
    assert record["extra"] == {"kept": json.loads(nothing) if nothing != "NaN" else None}
    assert (clinical.problems, clinical.notes) == ((), ())


def test_na_is_a_grade_and_no_number(tmp_path):
    (record,) = _read(tmp_path, [_entry(tumor_isup_grade="na", age_at_nephrectomy="na")]).records
    assert (record["tumor_isup_grade"], record["age_years"]) == ("na", None)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(KitsError, match=r"none\.json"):
        read_clinical(tmp_path / "none.json")


def test_all_official_records_parse():
    if not _OFFICIAL.is_file():
        pytest.skip(f"needs the official records at {_OFFICIAL}")
    clinical = read_clinical(_OFFICIAL)
    records = clinical.records
    assert (len(records), clinical.problems, clinical.notes) == (489, (), ())
    assert Counter(r["malignant"] for r in records) == {True: 439, False: 43, None: 7}
    assert records[0]["tumor_histologic_subtype"] == "clear_cell_rcc"
    assert all(len(r["extra"]) + 19 == 40 for r in records)


@pytest.mark.parametrize("orient", ["records", "columns", "index", "split", "table"])
@pytest.mark.parametrize("indexed", [False, True])
def test_the_official_records_come_back_from_pandas(tmp_path, orient, indexed):
    if not _OFFICIAL.is_file():
        pytest.skip(f"needs the official records at {_OFFICIAL}")
    if indexed and orient == "records":
        pytest.skip("pandas leaves the index out")
    frame = pd.read_json(_OFFICIAL)
    table = frame.set_index("case_id") if indexed else frame
    table.to_json(tmp_path / "kits23.json", orient=orient)
    ours, official = read_clinical(tmp_path / "kits23.json"), read_clinical(_OFFICIAL)
    assert ours.problems == ()
    for mine, theirs in zip(ours.records, official.records, strict=True):
        assert {**mine, "extra": None} == pytest.approx({**theirs, "extra": None})
