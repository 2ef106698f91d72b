"""Every view over the small catalog of `conftest.py`, whose answers a reader can compute by hand."""

import json

import pytest
from sqlalchemy import delete, select, text

from db.engine import catalog_session, open_catalog
from db.models import Case, Evaluation, FileKind, PreparedCase, ScoredCase, Subset
from db.queries import evaluation, ingest, prepare
from db.views import VIEWS
from kits_core.metrics.known import METRICS
from kits_core.metrics.score import Score, Status

SHA256 = ("image", "reference")


def _rows(settings, view, order):
    with open_catalog(settings).connect() as connection:
        return [dict(row) for row in connection.execute(text(f"SELECT * FROM {view} ORDER BY {order}")).mappings()]


def _number(name):
    return json.loads(name) if isinstance(name, str) else name


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_has_its_documented_columns_in_order(settings, view):
    with open_catalog(settings).connect() as connection:
        result = connection.execute(text(f"SELECT * FROM {view.name}"))
        assert list(result.keys()) == list(view.columns)
        assert result.all() == []
    assert view.description
    assert all(view.columns.values())


def test_case_overview(settings, small):
    rows = _rows(settings, "case_overview", "dataset DESC, case_name")
    assert [(row["dataset"], row["case_name"], row["status"]) for row in rows] == [
        ("site", "case_00000", "ingested"),
        ("site", "case_00001", "ingested"),
        ("site", "case_00002", "ingested"),
        ("site", "case_00003", "quarantined"),
        ("other", "case_00000", "pending"),
    ]
    first = rows[0] | {key: _number(rows[0][key]) for key in ("image_shape", "image_spacing_mm")}
    assert first == {
        "dataset": "site",
        "case_name": "case_00000",
        "status": "ingested",
        "has_segmentation": True,
        "phase": "arterial",
        "sex": "female",
        "age_years": 61,
        "tumor_histologic_subtype": None,
        "pathology_t_stage": "1a",
        "radiographic_size_cm": None,
        "image_shape": [512, 512, 90],
        "image_spacing_mm": [0.75, 0.75, 3.0],
        "image_bytes": 5_000_000_000,
        "image_notes": None,
        "image_version": 1,
        "vanished_at": None,
        "kidney_ml": 200.0,
        "tumor_ml": 10.0,
        "cyst_ml": 0.5,
    }
    assert [row["phase"] for row in rows] == ["arterial", "arterial", "nephrogenic", None, None]
    assert [row["tumor_ml"] for row in rows] == [10.0, 20.0, 30.0, None, None]
    assert [row["cyst_ml"] for row in rows] == [0.5, None, None, None, None]
    assert [bool(row["has_segmentation"]) for row in rows] == [True, True, True, False, False]


def test_case_metric_wide(settings, small):
    rows = _rows(settings, "case_metric_wide", "case_name, region")
    nothing = {metric.name: None for metric in METRICS} | {"ceiling": None, "more_metrics": None}
    common = {"evaluation_id": small.evaluation, "model_id": small.model, "subset": "validation"}
    common |= {"run_id": small.run, "dataset": "site"}
    first, second = ({"case_name": name} for name in ("case_00001", "case_00002"))
    found = {"dice": 0.6, "hausdorff_mm": 12.0, "prediction_ml": 15.0, "reference_ml": 20.0}
    missed = {"dice": 0.0, "prediction_ml": 0.0, "reference_ml": 30.0}
    assert rows == [
        common | nothing | first | {"region": "foreground", "status": "ok", "dice": 0.8},
        common
        | nothing
        | first
        | {"region": "kidney", "status": "ok", "dice": 0.9, "hausdorff95_mm": 4.5, "ceiling": 0.99},
        common | nothing | first | {"region": "tumor", "status": "ok", "ceiling": 0.91} | found,
        common | nothing | second | {"region": "foreground", "status": "ok", "dice": 0.7},
        common | nothing | second | {"region": "kidney", "status": "ok", "dice": 0.7, "ceiling": 0.99},
        common | nothing | second | {"region": "tumor", "status": "prediction_empty", "ceiling": 0.92} | missed,
    ]


def test_case_metric_wide_has_a_column_for_every_metric_that_is_scored():
    (wide,) = (view for view in VIEWS if view.name == "case_metric_wide")
    assert {metric.name for metric in METRICS} < set(wide.columns)


def test_leaderboard(settings, small):
    (row,) = _rows(settings, "leaderboard", "evaluation_id")
    assert row | {name: bool(row[name]) for name in ("is_champion", "flips")} == {
        "evaluation_id": small.evaluation,
        "model_id": small.model,
        "run_id": small.run,
        "dataset": "site",
        "subset": "validation",
        "recipe_hash": "recipe-a",
        "split_id": small.split,
        "cases": 2,
        "kidney_dice": pytest.approx(0.8),
        "tumor_dice": pytest.approx(0.3),
        "foreground_dice": pytest.approx(0.75),
        "epoch": 2,
        "is_champion": True,
        "status": "completed",
        "flips": False,
        "missing_cases": 0,
        "official_dice": None,
        "official_surface_dice": None,
        "forgotten_cases": 0,
        "forgotten_training_cases": 0,
    }


def test_the_official_means_on_the_leaderboard(settings, small):
    regions = ("kidney_and_mass", "mass", "tumor")
    values = {("dice", small.cases[1]): (0.9, 0.6, 0.3), ("dice", small.cases[2]): (0.0, 0.0, 0.0)}
    values |= {("surface_dice", small.cases[1]): (0.6, 0.4, 0.2), ("surface_dice", small.cases[2]): (0.0, 0.0, 0.0)}
    with catalog_session(settings) as session:
        for case, status in ((small.cases[1], Status.OK), (small.cases[2], Status.MISSING)):
            scores = [
                Score(region, metric, value, status, 0.0)
                for metric in ("dice", "surface_dice")
                for region, value in zip(regions, values[metric, case], strict=True)
            ]
            evaluation.record_scores(session, small.evaluation, case, scores, sha256=SHA256)
    (row,) = _rows(settings, "leaderboard", "evaluation_id")
    assert (row["official_dice"], row["official_surface_dice"]) == (pytest.approx(0.3), pytest.approx(0.2))
    assert (row["cases"], row["missing_cases"]) == (2, 1)


def test_an_evaluation_without_values_is_on_the_leaderboard_with_no_case(settings, small):
    with catalog_session(settings) as session:
        session.add(Evaluation(model_id=small.model, split_id=small.split, subset=Subset.TRAIN))
    empty = _rows(settings, "leaderboard", "evaluation_id")[1]
    assert (empty["subset"], empty["cases"], empty["tumor_dice"]) == ("train", 0, None)


def test_worst_case(settings, small):
    common = {"evaluation_id": small.evaluation}
    assert _rows(settings, "worst_case", "place") == [
        common | {"place": 1, "case_name": "case_00002", "tumor_dice": 0.0, "kidney_dice": 0.7, "tumor_ml": 30.0},
        common | {"place": 2, "case_name": "case_00001", "tumor_dice": 0.6, "kidney_dice": 0.9, "tumor_ml": 20.0},
    ]


def test_a_case_without_a_value_comes_before_the_worst_on_both_databases(settings, small):
    with catalog_session(settings) as session:
        scores = [Score("tumor", "dice", None, Status.MISSING, 0.0)]
        evaluation.record_scores(session, small.evaluation, small.cases[1], scores, sha256=SHA256)
    names = [row["case_name"] for row in _rows(settings, "worst_case", "place")]
    assert names == ["case_00001", "case_00002"]


def test_places_are_counted_within_an_evaluation(settings, small):
    with catalog_session(settings) as session:
        other = evaluation.start_evaluation(
            session, model_id=small.model, split_id=small.split, subset=Subset.TRAIN, flow_run_id=None
        )
        scores = [Score("tumor", "dice", 0.1, Status.OK, 0.0)]
        evaluation.record_scores(session, other.id, small.cases[0], scores, sha256=SHA256)
    rows = _rows(settings, "worst_case", "evaluation_id, place")
    assert [(row["place"], row["case_name"]) for row in rows] == [
        (1, "case_00002"),
        (2, "case_00001"),
        (1, "case_00000"),
    ]


def test_open_problem(settings, small):
    (row,) = _rows(settings, "open_problem", "case_name")
    assert str(row.pop("first_seen")) <= str(row.pop("last_seen"))
    assert row == {
        "dataset": "site",
        "case_name": "case_00003",
        "stage": "ingest",
        "error": "attempt 2 failed",
        "attempts": 2,
    }
    with catalog_session(settings) as session:
        ingest.resolve_problems(session, small.cases[3], "ingest")
    assert _rows(settings, "open_problem", "case_name") == []


def test_lineage(settings, small):
    common = {
        "evaluation_id": small.evaluation,
        "model_id": small.model,
        "model_sha256": "ab" * 32,
        "run_id": small.run,
        "split_hash": "split-a",
        "recipe_hash": "recipe-a",
    }
    assert _rows(settings, "lineage", "case_name") == [
        common
        | {
            "case_name": f"case_0000{number}",
            "prepared_image_sha256": f"prepared-{number}",
            "image_sha256": f"sha-image-{number}",
            "image_version": 1,
            "archive_sha256": f"archive-image-{number}",
            "source_url": f"https://source.example/image-{number}.nii.gz",
            "reference_sha256": f"sha-segmentation-{number}",
            "locator_model_id": None,
        }
        for number in (1, 2)
    ]


def test_lineage_and_overview_with_a_second_version_of_an_image(settings, small, file_facts):
    with catalog_session(settings) as session:
        case = session.get_one(Case, small.cases[1])
        ingest.record_file(session, case, FileKind.IMAGE, file_facts("corrected"))
    overview = {row["case_name"]: row["image_version"] for row in _rows(settings, "case_overview", "case_name")}
    assert (overview["case_00001"], overview["case_00002"]) == (2, 1)
    # What was prepared, trained and scored came from the first version, and still does when that is prepared again.
    with catalog_session(settings) as session:
        for prepared in session.scalars(select(PreparedCase)):
            prepared.image_sha256 = "prepared anew"
    found = _rows(settings, "lineage", "case_name")
    assert [row["image_version"] for row in found] == [1, 1]
    assert [row["image_sha256"] for row in found] == ["sha-image-1", "sha-image-2"]
    assert [row["prepared_image_sha256"] for row in found] == ["prepared-1", "prepared-2"]


def test_lineage_names_the_version_that_was_predicted_from_whatever_was_prepared(settings, small, file_facts):
    with catalog_session(settings) as session:
        case = session.get_one(Case, small.cases[1])
        ingest.record_file(session, case, FileKind.IMAGE, file_facts("corrected"))
        scores = [Score("tumor", "dice", 0.7, Status.OK, 0.0)]
        evaluation.record_scores(session, small.evaluation, case.id, scores, sha256=("sha-corrected", "reference"))
    first, second = _rows(settings, "lineage", "case_name")
    assert (first["image_version"], first["image_sha256"], first["reference_sha256"]) == (
        2,
        "sha-corrected",
        "reference",
    )
    assert (second["image_version"], second["image_sha256"]) == (1, "sha-image-2")


def test_prediction_overview(settings, small):
    good, bad = _rows(settings, "prediction_overview", "scan DESC")
    expected = {
        "scan": "good",
        "source": "/in/good",
        "kind": "dicom",
        "status": "completed",
        "error": None,
        "models": 1,
        "model_id": small.model,
        "sha256": "scan",
    }
    assert {name: good[name] for name in expected} == expected
    assert _number(good["flags"]) == [{"code": "kidney_cut"}]
    assert (good["tumors"], good["largest_diameter_mm"], good["tumor_ml"]) == (2, 34.0, 21.0)
    assert (bad["status"], bad["error"], bad["tumors"], bad["tumor_ml"]) == ("failed", "no kidney", 0, None)


def test_plan_measurement(settings, small):
    rows = _rows(settings, "plan_measurement", "structure, measurement")
    assert [(row["scan"], row["structure"], row["side"], row["measurement"], row["value"]) for row in rows] == [
        ("good", "kidney_left", "left", "tumor_ml", 21.0),
        ("good", "tumor_1", "left", "cyst_distance_mm", None),
        ("good", "tumor_1", "left", "diameter_mm", 34.0),
        ("good", "tumor_1", "left", "volume_ml", 20.0),
        ("good", "tumor_2", "left", "diameter_mm", 12.0),
        ("good", "tumor_2", "left", "volume_ml", 1.0),
    ]


def test_measurement_error(settings, small):
    rows = _rows(settings, "measurement_error", "case_name, structure")
    common = {"evaluation_id": small.evaluation, "model_id": small.model, "dataset": "site"}
    assert all({name: row[name] for name in common} == common for row in rows)
    assert [
        (row["case_name"], row["structure"], row["reference"], row["prediction"], row["error"]) for row in rows
    ] == [
        ("case_00001", "found_2", None, 9.0, None),
        ("case_00001", "kidney_left", 150.0, 140.0, -10.0),
        ("case_00001", "tumor_1", 40.0, 37.5, -2.5),
        ("case_00002", "tumor_1", 50.0, None, None),
    ]


def _stale(settings):
    rows = _rows(settings, "stale", "what, case_name, changed")
    return [(row["what"], row["number"], row["case_name"], row["changed"]) for row in rows]


def test_nothing_is_stale_until_a_file_is_replaced(settings, small):
    assert _stale(settings) == []


def test_a_reference_that_was_replaced_makes_stale_what_rests_on_it(settings, small, file_facts):
    with catalog_session(settings) as session:
        case = session.get_one(Case, small.cases[1])
        ingest.record_file(session, case, FileKind.SEGMENTATION, file_facts("corrected"))
        number = session.scalars(select(PreparedCase.id).where(PreparedCase.case_id == case.id)).one()
    assert _stale(settings) == [
        ("evaluation", small.evaluation, "case_00001", "segmentation"),
        ("prepared_case", number, "case_00001", "segmentation"),
        ("training_run", small.run, "case_00001", "segmentation"),
    ]
    with catalog_session(settings) as session:
        assert evaluation.stale_cases(session, small.evaluation) == {small.cases[1]}
        assert evaluation.stale_cases(session, small.evaluation + 1) == set()


def test_an_image_that_was_replaced_and_prepared_anew(settings, small, file_facts, prepared_facts):
    with catalog_session(settings) as session:
        case = session.get_one(Case, small.cases[2])
        ingest.record_file(session, case, FileKind.IMAGE, file_facts("rescanned"))
        anew = prepared_facts(2) | {"source_image_sha256": "sha-rescanned", "image_sha256": "prepared-anew"}
        prepare.record_prepared(session, recipe_id=small.recipe, case_id=case.id, facts=anew, ceilings={})
    assert _stale(settings) == [
        ("evaluation", small.evaluation, "case_00002", "image"),
        ("training_run", small.run, "case_00002", "prepared"),
    ]


def test_scores_from_before_hashes_were_kept_are_stale_where_a_file_has_a_second_version(settings, small, file_facts):
    with catalog_session(settings) as session:
        session.execute(delete(ScoredCase))
    assert _stale(settings) == []
    with catalog_session(settings) as session:
        case = session.get_one(Case, small.cases[1])
        ingest.record_file(session, case, FileKind.IMAGE, file_facts("rescanned"))
    assert ("evaluation", small.evaluation, "case_00001", "image") in _stale(settings)
