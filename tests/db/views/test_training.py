"""Views of trainings over the small catalog, whose answers a reader can compute by hand."""

import pytest

from db.engine import catalog_session
from db.models import EpochMetric, SplitMember, Subset, TrainingRun
from db.queries import evaluation, training
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe


def _change(settings, run_id, **values):
    with catalog_session(settings) as session:
        for name, value in values.items():
            setattr(session.get_one(TrainingRun, run_id), name, value)


def test_a_run_has_each_setting_and_how_it_went(settings, small, view_rows):
    config = TrainingConfig(epochs=2, learning_rate=3e-4, deep_supervision=True, fold=1, device="cpu")
    environment = {"cpu": "a CPU", "gpus": "a card", "backend": "tensorflow", "revision": "abc"}
    _change(settings, small.run, config=config.to_stored(), environment=environment)
    (row,) = view_rows("run_overview")
    settings_found = {name: row[name] for name in TrainingConfig.model_fields}
    assert settings_found == config.model_dump(mode="json")
    found = {name: row[name] for name in Recipe.model_fields if name not in ("shape", "window_hu")}
    assert found == Recipe().model_dump(mode="json", exclude={"shape", "window_hu"})
    expected = {"dataset": "site", "status": "completed", "error": None, "recipe_hash": "recipe-a", "shape": 64}
    expected |= {"split_id": small.split, "cases": 3, "epochs_done": 2, "best_epoch": 2, "best_score": 0.5}
    expected |= {"model_id": small.model, "parameters": 9, "is_champion": True, "forgotten_cases": 0}
    expected |= {"cpu": "a CPU", "gpus": "a card", "backend": "tensorflow", "revision": "abc", "ran_on": "a CPU"}
    assert {name: row[name] for name in expected} == expected
    assert 0 <= row["seconds"] < 60
    assert -1e-5 < row["hours_ago"] < 1


def test_a_setting_that_a_run_is_older_than_has_its_default(settings, small, view_rows):
    (row,) = view_rows("run_overview")  # stored as {"epochs": 2}
    expected = TrainingConfig(epochs=2).model_dump(mode="json")
    assert {name: row[name] for name in expected} == expected


def test_a_setting_is_a_row_in_the_same_words_on_both_databases(settings, small, view_rows):
    config = TrainingConfig(epochs=2, learning_rate=3e-4, deep_supervision=True, fold=1)
    _change(settings, small.run, config=config.to_stored())
    found = {(row["part"], row["setting"]): row["value"] for row in view_rows("run_setting")}
    assert {setting for _, setting in found} == {*Recipe.model_fields, *TrainingConfig.model_fields}
    expected = {"epochs": "2", "learning_rate": "0.0003", "deep_supervision": "true", "loss_background": "false"}
    expected |= {"fold": "1", "micro_batch": "none", "loss": "focal_tversky"}
    assert {name: found["training", name] for name in expected} == expected
    assert (found["recipe", "frame"], found["recipe", "shape"], found["recipe", "locator"]) == ("volume", "64", "none")


def test_settings_are_stored_under_todays_names():
    """The view reads settings as they are stored: an upgrade that renames one has to bring the stored ones along."""
    assert (Recipe.schema_version(), TrainingConfig.schema_version()) == (1, 1)


@pytest.mark.parametrize(
    ("device", "gpus", "where"), [("auto", "none", "a CPU"), ("auto", "a card", "a card"), ("cpu", "a card", "a CPU")]
)
def test_where_a_run_trained(device, gpus, where, *, settings, small, view_rows):
    environment = {"cpu": "a CPU", "gpus": gpus}
    _change(settings, small.run, config=TrainingConfig(device=device).to_stored(), environment=environment)
    assert view_rows("run_overview")[0]["ran_on"] == where


def test_a_run_without_a_model_or_an_end(settings, small, view_rows):
    with catalog_session(settings) as session:
        other = training.find_or_open_run(
            session, recipe_id=small.recipe, split_id=small.split, config=TrainingConfig().to_stored(),
            config_hash="other", prepared=[], flow_run_id=None,
        )  # fmt: skip
    (row,) = view_rows("run_overview", f"run_id = {other.id}")
    nothing = ("ended_at", "seconds", "training_seconds", "ran_on", "model_id", "best_epoch", "best_score")
    assert [row[name] for name in nothing] == [None] * len(nothing)
    assert (row["status"], row["epochs_done"], row["cases"], bool(row["is_champion"])) == ("running", 0, 0, False)


def test_a_learning_curve_has_a_row_an_epoch_and_marks_the_models(settings, small, view_rows):
    with catalog_session(settings) as session:
        session.add(EpochMetric(run_id=small.run, epoch=1, name="seconds", value=12.0))
        session.add(EpochMetric(run_id=small.run, epoch=2, name="seconds", value=10.0))
    rows = view_rows("learning_curve", order="epoch")
    assert [(row["epoch"], row["loss"], row["tumor_dice"], row["seconds"], bool(row["is_best"])) for row in rows] == [
        (1, 1.0, 0.25, 12.0, False),
        (2, 0.5, 0.5, 10.0, True),
    ]
    assert rows[0]["kidney_dice"] is None
    assert view_rows("run_overview")[0]["training_seconds"] == 22.0


def test_a_split_and_its_cases(settings, small, view_rows):
    with catalog_session(settings) as session:
        for member in session.query(SplitMember).filter(SplitMember.case_id == small.cases[0]):
            member.fold = 3
    (row,) = view_rows("split_overview")
    assert (row["train_cases"], row["validation_cases"], row["runs"], row["folds"]) == (1, 2, 1, None)
    assert [
        (row["dataset"], row["case_name"], row["subset"], row["fold"], row["stratum"])
        for row in view_rows("split_case", order="case_name")
    ] == [
        ("site", "case_00000", "train", 3, "other"),
        ("site", "case_00001", "validation", None, "other"),
        ("site", "case_00002", "validation", None, "other"),
    ]


def test_an_evaluation_says_when_by_what_and_how_it_stands(settings, small, view_rows):
    with catalog_session(settings) as session:
        evaluation.start_evaluation(
            session, model_id=small.model, split_id=small.split, subset=Subset.TRAIN, flow_run_id="flow-8", flips=True
        )
    done, begun = view_rows("evaluation_overview", order="evaluation_id")
    expected = {"model_id": small.model, "run_id": small.run, "dataset": "site", "split_id": small.split, "cases": 2}
    expected |= {"subset": "validation", "status": "completed", "missing_cases": 0, "report_path": "reports/1.html"}
    expected |= {"flips": False, "locator_model_id": None, "cleanup": None, "flow_run_id": "flow-5"}
    assert {name: done[name] for name in expected} == expected
    assert 0 <= done["seconds"] < 60
    assert (begun["status"], begun["ended_at"], begun["seconds"], begun["cases"]) == ("running", None, None, 0)
    assert (begun["subset"], bool(begun["flips"]), begun["flow_run_id"]) == ("train", True, "flow-8")
