import json
import re
from collections import Counter
from pathlib import Path

import pytest

from kits_core.errors import KitsError
from kits_core.source.clinical import ClinicalRecord, read_clinical

_OFFICIAL = Path(__file__).parents[3].parent / "shared" / "kits23" / "dataset" / "kits23.json"


def _read(tmp_path, content):
    file = tmp_path / "kits23.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_clinical(file)


def test_columns_are_typed_and_the_rest_is_kept(tmp_path):
    entry = {"case_id": "case_00007", "gender": "female", "bmi": 30, "malignant": True, "radiographic_size": 2.5}
    (record,) = _read(tmp_path, [{**entry, "surgical_approach": "retroperitoneal", "comorbidities": {"copd": False}}])
    assert record.keys() == ClinicalRecord.__annotations__.keys()
    assert (record["sex"], record["body_mass_index"], record["radiographic_size_cm"]) == ("female", 30.0, 2.5)
    assert isinstance(record["body_mass_index"], float)
    assert record["age_years"] is None
    assert record["extra"] == {"surgical_approach": "retroperitoneal", "comorbidities": {"copd": False}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "in JSON"),
        ({"case_id": "case_00000"}, "list of records"),
        ([1], "list of records"),
        ([{"case_id": "case_7"}], "five digits"),
        ([{"case_id": "case_00001"}, {"case_id": "case_00001"}], "case_00001 stands there twice"),
        ([{"case_id": "case_00001", "malignant": "yes"}], "case_00001: expected bool or null for malignant, got 'yes'"),
        ([{"case_id": "case_00001", "age_at_nephrectomy": True}], "expected int"),
        ([{"case_id": "case_00001", "bmi": True}], "expected float"),
    ],
)
def test_wrong_records_are_named(tmp_path, content, message):
    with pytest.raises(KitsError, match=re.escape(message)):
        _read(tmp_path, content)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(KitsError, match=r"none\.json"):
        read_clinical(tmp_path / "none.json")


def test_all_official_records_parse():
    if not _OFFICIAL.is_file():
        pytest.skip(f"needs the official records at {_OFFICIAL}")
    records = read_clinical(_OFFICIAL)
    assert len(records) == 489
    assert Counter(r["malignant"] for r in records) == {True: 439, False: 43, None: 7}
    assert records[0]["tumor_histologic_subtype"] == "clear_cell_rcc"
    assert all(len(r["extra"]) + 19 == 40 for r in records)
