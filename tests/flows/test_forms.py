"""The forms that the dashboard makes of the flows' parameters, as Prefect asks for them."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate
from pydantic import ValidationError

from flows.parameters import TrainParameters
from flows.train_form import FIRST, from_form, to_form
from kits_core.network.config import TrainingConfig
from kits_core.network.presets import PRESETS
from kits_core.recipe.recipe import Recipe

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
# As a schedule of an older release has them: what its form sent, and what a person wrote.
SENT = {
    "dataset": None, "split": None, "cascade": False, "all_folds": False, "evaluate": True, "champion_dice": 0.1,
    "resume": None, "extend": None,
    "recipe": {"frame": "kidneys", "shape": 64, "locator": None, "window_hu": [-79.0, 304.0]},
    "config": {"epochs": 200, "batch_size": 2, "micro_batch": None, "fold": 1},
}  # fmt: skip
WRITTEN = {"config": {"epochs": 3}, "recipe": {"shape": 32}}


def _schema(deployment):
    module, _, function = deployment["entrypoint"].partition(":")
    flow = getattr(import_module(module.removesuffix(".py").replace("/", ".")), function)
    return parameter_schema(flow.fn).model_dump_for_openapi()


def _shown(schema, field, path="parameters"):
    """Every field that a form shows, by its path, as the dashboards find them."""
    if "$ref" in field:
        field = schema["definitions"][field["$ref"].rpartition("/")[2]] | field
    for name, inner in field.get("properties", {}).items():
        yield f"{path}.{name}", inner
        yield from _shown(schema, inner, f"{path}.{name}")


def _train():
    return _schema(next(deployment for deployment in DEPLOYMENTS if deployment["name"] == "train"))


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_every_field_of_a_form_has_words_one_input_and_its_place(deployment):
    schema = _schema(deployment)
    shown = dict(_shown(schema, schema["properties"]["parameters"]))
    assert shown
    for path, field in shown.items():
        assert not {"anyOf", "oneOf", "allOf"} & field.keys(), path
        assert field["title"][0].isupper(), path
        assert "_" not in field["title"], path
        assert field["description"].endswith("."), path
        assert None not in field.get("enum", []), path
        assert "null" not in (field.get("type"), field.get("default", "")), path
    for parent in {path.rpartition(".")[0] for path in shown}:
        places = [field["position"] for path, field in shown.items() if path.rpartition(".")[0] == parent]
        assert places == sorted(set(places)), parent


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_what_a_deployment_begins_with_is_shown_by_its_form(deployment):
    schema = _schema(deployment)
    validate(deployment.get("parameters", {"parameters": {}}), schema, raise_on_error=True, ignore_required=True)
    shown = dict(_shown(schema, schema["properties"]["parameters"]))
    assert {f"parameters.{name}" for name in deployment.get("parameters", {}).get("parameters", {})} <= shown.keys()


def test_a_training_begins_with_what_people_decide_and_has_one_block():
    schema = _train()
    top = schema["definitions"]["TrainParameters"]["properties"]
    assert list(top) == ["dataset", "prepared", "preset", "epochs", "fold", "evaluate", "more"]
    assert [field["title"] for field in top.values()][:4] == ["Dataset", "Recipe", "Preset", "Epochs"]
    everywhere = TrainParameters.model_fields.keys() | TrainingConfig.model_fields.keys()
    assert top["more"]["properties"].keys() == everywhere - {*FIRST, "recipe", "config", "begins_with"}


@pytest.mark.parametrize(
    "asked",
    [
        SENT,
        WRITTEN,
        {},
        {"epochs": 3, "evaluate": True, "prepared": "2 · kidneys 64", "more": {"batch_size": 2, "cascade": False}},
        {"fold": None, "more": {"micro_batch": None, "split": None}},
    ],
    ids=["sent", "written", "empty", "form", "nothing filled in"],
)
def test_stored_parameters_of_both_kinds_are_taken_by_server_and_flow(asked):
    validate({"parameters": asked}, _train(), raise_on_error=True)
    TrainParameters.model_validate(asked)


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"config": {"epochs": 0}}, "minimum"),
        ({"epochs": 0}, "minimum"),
        ({"more": {"seed": -1}}, "minimum"),
        ({"more": {"epoch": 1}}, "unexpected"),
        ({"prepared": "kidneys"}, "does not match"),
        ({"recipes": 1}, "'recipes' does not match"),
    ],
    ids=str,
)
def test_wrong_values_are_refused_by_server_and_flow(wrong, path):
    with pytest.raises(Exception, match=path):
        validate({"parameters": wrong}, _train(), raise_on_error=True)
    with pytest.raises(ValidationError):
        TrainParameters.model_validate(wrong)


def test_the_form_says_the_same_as_the_model():
    asked = TrainParameters.model_validate(
        {"prepared": "12 · kidneys 64, cyst_to tumor", "epochs": 7, "fold": 2, "more": {"batch_size": 2, "split": 4}}
    )
    assert asked == TrainParameters(
        prepared=12, split=4, config=TrainingConfig(epochs=7, fold=2, batch_size=2)
    )  # fmt: skip
    assert to_form(SENT) == {
        "dataset": None, "epochs": 200, "fold": 1, "evaluate": True, "recipe": SENT["recipe"],
        "more": {
            "split": None, "cascade": False, "all_folds": False, "champion_dice": 0.1, "resume": None, "extend": None,
            "batch_size": 2, "micro_batch": None,
        },
    }  # fmt: skip
    for either in (SENT, WRITTEN, {}):
        assert TrainParameters.model_validate(to_form(either)) == TrainParameters.model_validate(either)
        assert to_form(to_form(either)) == to_form(either)


def test_what_is_seen_counts_before_what_is_hidden():
    asked = TrainParameters.model_validate(
        SENT | {"epochs": 5, "prepared": "1 · volume 128", "more": {"batch_size": 4, "evaluate": False}}
    )
    assert (asked.config.epochs, asked.config.fold, asked.config.batch_size) == (5, 1, 4)
    assert (asked.prepared, asked.recipe) == (1, None)
    assert from_form({"config": TrainingConfig(epochs=9, seed=1), "epochs": 2})["config"] == {"epochs": 2, "seed": 1}


def test_a_preset_gives_what_was_not_chosen():
    strong = TrainingConfig(**PRESETS["strong"])
    assert TrainParameters(preset="strong").config == strong
    assert TrainParameters(preset="reference").config == TrainParameters().config == TrainingConfig()
    # As the command line has it: what is given counts, whatever its value.
    given = TrainParameters(preset="strong", config=TrainingConfig(learning_rate=1e-4, epochs=7))
    assert given.config == strong.model_copy(update={"learning_rate": 1e-4, "epochs": 7})
    # As a form sends it: every field that it shows, chosen or not.
    shown = {name: field.default for name, field in TrainingConfig.model_fields.items() if name != "begins_with"}
    sent = {
        "preset": "strong",
        "epochs": shown.pop("epochs"),
        "fold": shown.pop("fold"),
        "more": shown | {"filters": 24},
    }
    assert TrainParameters.model_validate(sent).config == strong.model_copy(update={"filters": 24})
    for asked in (sent, {"preset": "strong"}, given.model_dump(mode="json")):
        taken = TrainParameters.model_validate(asked)
        assert TrainParameters.model_validate(taken.model_dump(mode="json")) == taken
    for wrong in ("stronger", [], None):
        with pytest.raises(ValidationError, match="'reference' or 'strong'"):
            TrainParameters.model_validate({"preset": wrong})


def test_a_cascade_of_a_recipe_that_is_written_out_begins_with_the_whole_scan():
    with pytest.raises(ValidationError, match="a cascade begins with the whole scan"):
        TrainParameters(recipe=Recipe(frame="kidneys"), cascade=True)
    assert TrainParameters(cascade=True).recipe is None
