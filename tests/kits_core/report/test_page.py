import re
from dataclasses import replace

import pandas as pd
import pytest

from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe
from kits_core.report.card import model_card
from kits_core.report.methods import Lineage, methods_paragraph, training_paragraph
from kits_core.report.page import Report, case_rows, render, score_rows

LINEAGE = Lineage(
    dataset="hospital <A>",
    source="https://example.org/a?b=1&c=2",
    train_cases=8,
    validation_cases=2,
    split_seed=5,
    split_hash="abc",
    recipe=Recipe(shape=64, cyst_to="tumor"),
    config=TrainingConfig(epochs=7, batch_size=3),
    run_id=11,
    model_id=12,
    model_epoch=6,
    model_sha256="f" * 64,
    parameters=1234567,
    score=0.7,
    environment={"keras": "3.9", "backend": "tensorflow"},
)


@pytest.fixture
def scores():
    rows = []
    for case, dice, distance in (("case_00001", 0.9, 4.0), ("case_00002", 0.5, None)):
        for region in ("kidney", "tumor"):
            values = {
                "dice": dice,
                "iou": dice / 2,
                "volumetric_similarity": 1.0,
                "hausdorff_mm": distance,
                "hausdorff95_mm": distance,
                "mean_surface_distance_mm": distance,
                "prediction_ml": 3.0,
                "reference_ml": 4.0,
            }
            rows += [
                {"case": case, "region": region, "metric": m, "value": v, "status": "ok"} for m, v in values.items()
            ]
    return pd.DataFrame(rows).astype({"value": float})


def test_the_rows_of_scores_by_hand(scores):
    tumor = score_rows(scores, {"tumor": 0.951})[1]
    assert tumor["region"] == "tumor"
    assert tumor["Dice"] == "0.700"
    assert tumor["ceiling"] == "0.951"
    assert (tumor["HD95, mm"], tumor["cases without a distance"]) == ("4.0", "1")
    assert score_rows(scores, {})[0]["ceiling"] == "unknown"


def test_the_worst_case_comes_first_and_a_missing_distance_is_a_dash(scores):
    rows = case_rows(scores)
    assert [row["case"] for row in rows] == ["case_00002", "case_00001"]
    assert rows[0]["tumour HD95, mm"] == "–"
    assert rows[1]["predicted, ml"] == "3.0"


def test_the_page_stands_alone_and_escapes_what_users_named(scores):
    page = render(
        Report("A title", "validation", scores, {}, LINEAGE, {"A figure": b"png"}, "today", {"Worst": b"png"})
    )
    assert "hospital &lt;A&gt;" in page
    assert "<A>" not in page
    assert "Research only" in page
    outside = re.findall(r'(?:src|href)="(?!data:)[^"]*"', page)
    assert outside == []
    assert page.count("data:image/png;base64,cG5n") == 2


def test_the_methods_say_what_really_ran():
    text = methods_paragraph(LINEAGE, "validation")
    for fact in (
        "10 cases",
        "8 for training",
        "64³",
        "cysts counted as tumor",
        "7 epochs",
        "batches of 3",
        "1,234,567",
    ):
        assert fact in text
    assert "selected on the same cases" in text


def test_the_methods_say_whose_box_it_was_and_which_loss():
    recipe = Recipe(frame="kidneys", margin_mm=15, spacing_mm=1.5)
    config = TrainingConfig(loss="dice_cross_entropy", fold=3, normalisation="group")
    text = training_paragraph(replace(LINEAGE, recipe=recipe, config=config))
    for fact in (
        "box around both kidneys from the reference",
        "15 mm",
        "of 1.5 mm",
        "fold 3",
        "cross-entropy",
        "group",
    ):
        assert fact in text
    found = recipe.model_copy(update={"locator": "a" * 64})
    assert "what another network found" in training_paragraph(replace(LINEAGE, recipe=found))


def test_the_model_card_has_what_judging_a_checkpoint_takes():
    card = model_card(LINEAGE, "e" * 64)
    for fact in (
        "f" * 64,
        "e" * 64,
        "1,234,567",
        "0.7000",
        "seed 5",
        LINEAGE.recipe.hash,
        "Not a medical device",
        "NC-SA",
    ):
        assert fact in card
