import re
from dataclasses import replace

import pandas as pd
import pytest

from kits_core.inference.cleanup import NOT_CHOSEN, Choice, Rules
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe
from kits_core.report.card import model_card
from kits_core.report.figures import score_distribution, subgroup_forest
from kits_core.report.methods import Inference, Lineage, cleanup_sentence, methods_paragraph, training_paragraph
from kits_core.report.page import Report, render
from kits_core.report.tables import case_rows, score_rows, subgroup_rows

LINEAGE = Lineage(
    dataset="hospital <A>",
    source="https://example.org/a?b=1&c=2",
    train_cases=8,
    validation_cases=2,
    split_seed=5,
    split_hash="abc",
    strata=("tumour small · phase unknown · cyst", "tumour large · phase unknown · cyst"),
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

INFERENCE = Inference(flips=False, cleanup=NOT_CHOSEN, locator_id=None)


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
                {"case": case, "region": region, "metric": m, "value": v, "status": "ok", "diagonal_mm": 90.0}
                for m, v in values.items()
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
    page = _page(scores)
    assert "hospital &lt;A&gt;" in page
    assert "<A>" not in page
    assert "Research only" in page
    outside = re.findall(r'(?:src|href)="(?!data:)[^"]*"', page)
    assert outside == []
    assert page.count("data:image/png;base64,cG5n") == 2
    assert "without a prediction</b>" not in page


def test_the_page_says_which_cases_are_missing(scores):
    scores.loc[scores["case"] == "case_00002", "status"] = "missing"
    page = _page(scores)
    assert "1 case without a prediction</b>, counted as zero in every score: case_00002" in page


def test_the_licence_of_kits_stands_on_what_is_made_of_its_data_and_on_nothing_else(scores):
    kits = replace(LINEAGE, dataset="kits23")
    assert "CC BY-NC-SA" in _page(scores, lineage=kits)
    assert "CC BY-NC-SA" in model_card(kits, "e" * 64)
    assert "CC BY" not in _page(scores)
    assert "KiTS23 is licensed" not in _page(scores)
    card = model_card(LINEAGE, "e" * 64)
    assert "NC-SA" not in card
    assert "KiTS" not in card


def test_the_official_numbers_stand_beside_the_winners(scores):
    page = _page(scores)
    assert ">0.835<" in page
    assert ">0.723<" in page
    assert "110 hidden cases" in page


def _page(scores, png=b"png", lineage=LINEAGE):
    pictures = {"Worst": {"case_00002": png}}
    subgroups = pd.DataFrame(columns=["region", "subgroup", "level", "cases", "mean", "low", "high"])
    measured = pd.DataFrame(
        [("case_00001", "tumor_1", "left", "volume_ml", 5.0, 4.0)],
        columns=["case", "structure", "side", "name", "reference", "prediction"],
    )
    report = Report(
        "A title", "validation", scores, measured, {}, subgroups, pd.DataFrame(), lineage, INFERENCE, "today", pictures
    )
    return render(report, {"A figure": png})


def test_the_page_says_how_far_off_measurements_are(scores):
    page = _page(scores)
    assert "1 of 1 tumours of the references share voxels with a predicted one, 0 are missed" in page
    assert "<td>tumour: volume, ml</td><td>1</td><td>5.0</td><td>-1.0</td>" in page


def test_subgroups_are_a_table_too():
    columns = ["region", "subgroup", "level", "cases", "mean", "low", "high", "ceiling"]
    rows = [
        ("tumor", "phase", "arterial", 3, 0.5, 0.4, 0.6, 0.97),
        ("kidney", "phase", "arterial", 3, 0.9, 0.8, 0.95, 0.98),
        ("tumor", "phase", "nephrogenic", 1, 0.7, float("nan"), float("nan"), float("nan")),
    ]
    assert subgroup_rows(pd.DataFrame(rows, columns=columns)) == [
        {
            "subgroup": "contrast phase", "level": "arterial", "cases": "3", "tumor Dice": "0.500 (0.400–0.600)",
            "kidney Dice": "0.900 (0.800–0.950)", "tumor ceiling": "0.970",
        },
        {
            "subgroup": "contrast phase", "level": "nephrogenic", "cases": "1", "tumor Dice": "0.700",
            "kidney Dice": "–", "tumor ceiling": "–",
        },
    ]  # fmt: skip


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_opens_without_an_error_or_a_request_and_fits_a_laptop_and_a_phone(
    scores, browser, serious, tmp_path, width
):
    path = tmp_path / "report.html"
    path.write_text(_page(scores, png=score_distribution(scores, {})), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.goto(path.as_uri())
    assert page.locator("figure img").evaluate_all("images => images.every(one => one.naturalWidth > 100)")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    assert wrong == []
    assert serious(page) == {}
    page.close()


def test_texts_of_strangers_are_shown_and_not_obeyed(scores, browser, tmp_path):
    evil = "<script>document.title='owned'</script> $\\frac{ $ ![x](http://outside.example/x.png) \u202e\x1b[2J"
    facts = pd.DataFrame({"case": ["case_00001", "case_00002"], "sex": [evil, "female"]})
    subgroups = pd.DataFrame(
        [("tumor", "sex", level, 1, 0.5, 0.4, 0.6, 0.9) for level in facts["sex"]],
        columns=["region", "subgroup", "level", "cases", "mean", "low", "high", "ceiling"],
    )
    assert subgroup_forest(subgroups, 0.5).startswith(b"\x89PNG")
    lineage = replace(LINEAGE, dataset=evil, source=evil, environment={evil: evil})
    card = model_card(lineage, "e" * 64)
    assert not re.search(r"(?<!\\)<|(?<!\\)\]\(", card)
    text = _page(scores.replace("case_00001", evil), lineage=lineage)
    assert "\u202e" not in text
    assert "\x1b" not in text
    path = tmp_path / "report.html"
    path.write_text(text, encoding="utf-8")
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert "<script>" in page.locator("body").inner_text()
    assert page.title() != "owned"
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
    page.close()


def test_the_methods_say_what_really_ran():
    text = methods_paragraph(LINEAGE, INFERENCE, "validation")
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
    assert "stratified by tumour-volume tercile (seed 5)." in text
    assert "selected on the validation cases, which are scored here" in text
    assert "Class probabilities were interpolated linearly" in text
    assert "mirror image" not in text
    assert "model 4" not in text


def test_the_methods_say_how_was_predicted():
    rules = Rules(foreground_mm3=5000, tumor_mm3=50)
    choice = Choice(rules, 12, 0.7, 0.75)
    text = methods_paragraph(LINEAGE, Inference(flips=True, cleanup=choice, locator_id=4), "train")
    for fact in ("mirror image", "model 4", "5,000 mm³", "below 50 mm³", "12 validation cases", "0.7000", "0.7500"):
        assert fact in text
    assert "Class probabilities, the mean of those of the image and of its mirror image, were interpolated" in text


def test_the_methods_name_what_the_strata_differ_in_and_nothing_else():
    for strata, said in (
        (("tumour small · arterial · cyst", "tumour large · nephrogenic · no cyst"),
         "stratified by tumour-volume tercile, contrast phase and cyst presence (seed 5)"),
        (("tumour small · phase unknown · cyst", "tumour large · phase unknown · no cyst"),
         "stratified by tumour-volume tercile and cyst presence (seed 5)"),
        (("other",), "2 for validation, at random (seed 5)"),
    ):  # fmt: skip
        assert said in training_paragraph(replace(LINEAGE, strata=strata))


def test_the_clean_up_says_why_not():
    assert "no rule made" in cleanup_sentence(Choice(Rules(), 3, 0.5, 0.5))
    assert "there were no validation cases to choose rules with" in cleanup_sentence(NOT_CHOSEN)


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
    ):
        assert fact in card
