"""Views of cases over the small catalog, whose answers a reader can compute by hand."""

import json

import pytest
from sqlalchemy import select

from db.engine import catalog_session
from db.models import Case, FileKind, PreparedCase
from db.queries import ingest


def test_a_patient_has_every_column_of_the_record(settings, small, view_rows):
    record = {
        "case_id": "case_00001", "patient_id": "P-7", "sex": "male", "age_years": 70, "body_mass_index": 27.5,
        "smoking_history": "never_smoked", "radiographic_size_cm": 4.0, "pathologic_size_cm": 3.5, "malignant": True,
        "tumor_histologic_subtype": "clear_cell_rcc", "tumor_isup_grade": "2", "tumor_necrosis": False,
        "pathology_t_stage": "1a", "pathology_n_stage": "X", "pathology_m_stage": "0", "surgery_type": "open",
        "surgical_procedure": "partial_nephrectomy", "vital_status": "censored", "vital_days_after_surgery": 400,
        "aua_risk_score": "low_risk", "extra": {"hospital": "north"},
    }  # fmt: skip
    with catalog_session(settings) as session:
        ingest.merge_clinical(session, session.get_one(Case, small.cases[1]).dataset, [dict(record)])
    first, second = view_rows("patient", order="case_name")
    assert (first["case_name"], first["age_years"], first["patient_id"]) == ("case_00000", 61, None)
    further = second.pop("further")
    assert (json.loads(further) if isinstance(further, str) else further) == record.pop("extra")
    assert {name: second[name] for name in record if name != "case_id"} == {
        name: value for name, value in record.items() if name != "case_id"
    }


def test_a_problem_that_comes_back_is_counted_and_keeps_its_history(settings, small, view_rows):
    case = small.cases[3]
    with catalog_session(settings) as session:
        ingest.resolve_problems(session, case, "ingest")
        ingest.record_problem(session, case, "ingest", "again", "flow-9")
        ingest.record_problem(session, case, "prepare", "elsewhere", None)
    rows = view_rows("problem_history", order="stage, occurrence")
    assert [(row["stage"], row["occurrence"], row["times"], bool(row["is_open"])) for row in rows] == [
        ("ingest", 1, 2, False),
        ("ingest", 2, 2, True),
        ("prepare", 1, 1, True),
    ]
    assert [(row["error"], row["attempts"], row["flow_run_id"]) for row in rows] == [
        ("attempt 2 failed", 2, "flow-1"),
        ("again", 1, "flow-9"),
        ("elsewhere", 1, None),
    ]
    assert all(-1e-5 < row[name] < 1 for row in rows for name in ("hours_open", "hours_ago"))
    assert (rows[0]["resolved_at"] is None, rows[1]["resolved_at"] is None) == (False, True)


def test_disk_by_dataset_and_stage_with_what_was_replaced(settings, small, view_rows, file_facts):
    with catalog_session(settings) as session:
        first, second, _ = session.scalars(select(PreparedCase).order_by(PreparedCase.id))
        first.bytes, second.bytes = 700, 800
        ingest.record_file(session, session.get_one(Case, small.cases[1]), FileKind.IMAGE, file_facts("rescanned"))
    rows = view_rows("disk_usage", order="stage, what, is_current")
    assert [
        (row["stage"], row["what"], bool(row["is_current"]), row["cases"], row["bytes"], row["cases_without_size"])
        for row in rows
    ] == [
        ("converted", "image", False, 1, 5_000_000_000, 0),
        ("converted", "image", True, 3, 15_000_000_000, 0),
        ("converted", "segmentation", True, 3, 15_000_000_000, 0),
        ("prepared", "recipe-a", True, 3, 1500, 1),
    ]
    assert {row["dataset"] for row in rows} == {"site"}


@pytest.mark.parametrize("kind", list(FileKind))
def test_a_prepared_case_says_which_file_was_replaced_since(settings, small, view_rows, file_facts, kind):
    assert [row["changed"] for row in view_rows("prepared_overview")] == [None, None, None]
    with catalog_session(settings) as session:
        ingest.record_file(session, session.get_one(Case, small.cases[1]), kind, file_facts("corrected"))
    rows = view_rows("prepared_overview", order="case_name")
    assert [row["changed"] for row in rows] == [None, kind.value, None]
    expected = {"dataset": "site", "case_name": "case_00001", "recipe_hash": "recipe-a", "frame": "volume", "shape": 64}
    expected |= {"kidney_kept": 1.0, "tumor_kept": 1.0, "cyst_kept": None, "seconds": 2.0, "peak_bytes": None}
    expected |= {"kidney_ceiling": 0.99, "tumor_ceiling": 0.91, "tumor_surface_ceiling": None, "bytes": None}
    assert {name: rows[1][name] for name in expected} == expected
    assert rows[1]["prepared_case_id"] == view_rows("stale", "what = 'prepared_case'")[0]["number"]
