import pytest

import db
from kits_core import KitsError, Recipe, summarise


def test_a_query_is_a_frame(settings, small):
    frame = db.query("SELECT case_name, status FROM case_overview ORDER BY dataset, case_name", settings)
    assert list(frame.columns) == ["case_name", "status"]
    assert {f"case_{number:05d}" for number in range(4)} <= set(frame["case_name"])
    assert db.query("SELECT case_name FROM case_overview WHERE 1 = 0", settings).empty


def test_a_query_that_would_write_is_refused(settings, small):
    with pytest.raises(KitsError, match="that only reads"):
        db.query("DELETE FROM dataset", settings)
    assert len(db.query("SELECT name FROM dataset", settings)) > 0


def test_scores_of_the_newest_evaluation_are_ready_for_means(settings, small):
    scores = db.scores(settings=settings)
    assert scores.equals(db.scores(small.evaluation, settings))
    assert list(scores.columns) == ["case", "region", "metric", "value", "status", "diagonal_mm"]
    means = summarise(scores).set_index(["region", "metric"])
    row = scores[(scores["region"] == "tumor") & (scores["metric"] == "dice")]
    assert means.loc[("tumor", "dice"), "mean"] == pytest.approx(row["value"].mean())
    with pytest.raises(KitsError, match="evaluation"):
        db.scores(99, settings)


def test_a_models_file_is_in_the_home_with_its_recipe(settings, small):
    found = db.model_file("champion", settings)
    assert found.model_id == small.model
    assert found.path.is_relative_to(settings.home)
    assert isinstance(found.recipe, Recipe)
    assert found == db.model_file(str(small.model), settings)
    with pytest.raises(KitsError, match="expected model 99"):
        db.model_file("99", settings)


def test_without_settings_the_home_of_the_environment_is_asked(home):
    assert db.query("SELECT COUNT(*) AS cases FROM case_overview")["cases"].tolist() == [0]
    assert (home / "catalog.db").is_file()
