import json

import pytest

from kits_core.errors import KitsError
from kits_core.source.records import parse_records

_GOOD = {"case_id": "case_00002", "age_at_nephrectomy": 61}
_BAD = {
    "an age of 10**30": '{"case_id": "case_00001", "age_at_nephrectomy": 1000000000000000000000000000000}',
    "an age of 5,000 digits": f'{{"case_id": "case_00001", "age_at_nephrectomy": {"9" * 5000}}}',
    "half a surrogate pair": '{"case_id": "case_00001", "gender": "\\ud800"}',
    "half a surrogate pair in a name": '{"case_id": "case_00001", "\\udfff": 1}',
    "NUL": '{"case_id": "case_00001", "smoking_history": "a\\u0000b"}',
    "1e999": '{"case_id": "case_00001", "bmi": 1e999}',
    "Infinity": '{"case_id": "case_00001", "comorbidities": {"all": [-Infinity]}}',
    "60 levels": f'{{"case_id": "case_00001", "x": {"[" * 60}{"]" * 60}}}',
    "200,000 levels": f'{{"case_id": "case_00001", "x": {"[" * 200_000}{"]" * 200_000}}}',
}


@pytest.mark.parametrize("bad", _BAD.values(), ids=_BAD)
@pytest.mark.parametrize("first", [True, False])
def test_one_record_that_no_database_holds_is_one_problem(bad, first):
    records = [bad, json.dumps(_GOOD)] if first else [json.dumps(_GOOD), bad]
    found = parse_records(f"[{records[0]},\n {records[1]}]", "here")
    assert found.entries == {"case_00002": _GOOD}
    (problem,) = found.problems
    assert problem.case == "case_00001"
    assert str(problem).isprintable()
    assert len(str(problem)) < 300


@pytest.mark.parametrize(
    "row", ["1", "null", "{}", '{"case_id": 7}', '{"case_id": "case_7"}', '{"case_id": "a\\u001b[2J"}']
)
def test_a_record_of_no_case_is_told_by_its_number(row):
    found = parse_records(f"[{json.dumps(_GOOD)}, {row}]", "here")
    assert list(found.entries) == ["case_00002"]
    (problem,) = found.problems
    assert problem.case == "record 2"
    assert str(problem).isprintable()


def test_two_records_of_a_case_are_taken_only_if_they_are_the_same():
    found = parse_records(json.dumps([_GOOD, _GOOD]), "here")
    assert (found.entries, found.problems) == ({"case_00002": _GOOD}, ())
    found = parse_records(json.dumps([_GOOD, {**_GOOD, "bmi": 2}, {"case_id": "case_00003"}]), "here")
    assert list(found.entries) == ["case_00003"]
    assert "case_00002: expected one record a case, got two that differ" in str(found.problems[0])


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[", '[{"case_id": "case_00001"}', "[1]", "{}", '{"a": {"b": 1}}', '{"case_id": "case_00001"}',
     '{"data": 1}', '{"columns": ["case_id"], "data": [[1, 2]]}', '{"columns": 1, "data": {}}', "[" * 100_000,
     f'{{"x": {"[" * 100_000}{"]" * 100_000}}}', f'[{{"case_id": "case_00001", "x": {"[" * 100_000}}}'],
)  # fmt: skip
def test_text_without_records_is_refused_with_its_place(text):
    with pytest.raises(KitsError, match=r"^here: expected"):
        parse_records(text, "here")


@pytest.mark.parametrize(
    "text",
    [
        '{"case_id": {"0": "case_00002"}, "age_at_nephrectomy": {"0": 61}}',
        '{"age_at_nephrectomy": {"case_00002": 61}}',
        '{"case_00002": {"age_at_nephrectomy": 61}}',
        '{"columns": ["case_id", "age_at_nephrectomy"], "index": [0], "data": [["case_00002", 61]]}',
        '{"columns": ["age_at_nephrectomy"], "index": ["case_00002"], "data": [[61]]}',
        '{"schema": {"fields": []}, "data": [{"case_id": "case_00002", "age_at_nephrectomy": 61}]}',
    ],
)
def test_every_layout_of_pandas_is_read(text):
    found = parse_records(text, "here")
    assert (found.entries, found.problems) == ({"case_00002": _GOOD}, ())


def test_json_lines_are_read():
    other = {"case_id": "case_00003"}
    found = parse_records(f"{json.dumps(_GOOD)}\n{json.dumps(other)}\n", "here")
    assert found.entries == {"case_00002": _GOOD, "case_00003": other}
