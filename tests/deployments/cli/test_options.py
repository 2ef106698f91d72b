"""Settings of a verb are said once, by the models: every field is an option; a mistake is refused before a run."""

import subprocess
import sys

import pytest
from pydantic import BaseModel

from deployments import running
from deployments.cli import main
from deployments.reference.commands import commands
from flows.parameters import (
    EvaluateParameters,
    IngestParameters,
    PredictParameters,
    PrepareParameters,
    SplitParameters,
    TrainParameters,
)
from kits_core.network.config import SECTION_OF, TrainingConfig
from kits_core.recipe import Recipe

MODELS: dict[str, tuple[list[type[BaseModel]], set[str]]] = {
    "ingest": ([IngestParameters], {"labels"}),  # by --label and --label-map
    "prepare": ([PrepareParameters, Recipe], {"recipe", "locator"}),
    "split": ([SplitParameters], set()),
    "train": (
        [TrainParameters, TrainingConfig, Recipe],
        {"prepared", "recipe", "config", "all_folds", "begins_with", "locator"},
    ),
    "evaluate": ([EvaluateParameters], set()),
    "predict": ([PredictParameters], {"scans", "watch", "settle_seconds"}),
}
"""The models of each verb, and fields that it has in another way, or that are not for a terminal."""
SPELLED = {"from_model": "--from", "for_model": "--for", "own": "--from", "trim_air": "--trim-air"}


@pytest.fixture
def asked(monkeypatch):
    """Runs a verb up to its flow; what the flow would have got, or the exit status."""

    class Asked(Exception):  # noqa: N818 - no error
        pass

    def begin(_flow, parameters, *_others, **_named):
        raise Asked(parameters)

    def run(*words):
        monkeypatch.setattr(running, "run_flow", begin)
        monkeypatch.setattr(sys, "argv", ["kits", *words])
        monkeypatch.setattr("deployments.cli.show_error", _raised)
        try:
            main()
        except Asked as found:
            return found.args[0]
        except SystemExit as ended:
            return ended.code

    return run


def _raised(error):
    raise error


@pytest.mark.parametrize("verb", MODELS)
def test_every_field_is_an_option_with_the_description_and_the_default_of_the_model(verb):
    models, others = MODELS[verb]
    options = {spelled: one for one in commands()[verb].params for spelled in one.opts}
    for name, info in {n: i for model in models for n, i in model.model_fields.items() if n not in others}.items():
        bare = name.removesuffix("_mm").removesuffix("_hu")
        option = options[SPELLED.get(name, f"--{bare.replace('_', '-')}")]
        if name in {"fold", "out"}:  # by hand
            continue
        assert option.help.startswith(info.description)
        assert ("In mm" in option.help) == name.endswith("_mm")
        if isinstance(info.default, str | int) and not isinstance(info.default, bool):
            assert option.show_default == str(info.default)


def test_settings_that_were_no_options_reach_the_flow(asked):
    found = asked("prepare", "--no-trim-air", "--margin", "10", "--window", "-100", "300", "--least-tumor-kept", "0.5")
    assert found == PrepareParameters(
        recipe=Recipe(trim_air=False, margin_mm=10, window_hu=(-100, 300)), least_tumor_kept=0.5
    )
    assert asked("ingest", "--allowed-failures", "0.3", "--label", "mass=tumor") == IngestParameters(
        allowed_failures=0.3, labels={"mass": "tumor"}
    )


def test_a_training_has_its_settings_where_they_belong(asked):
    found = asked("train", "--epochs", "3", "--frame", "kidneys", "--fold", "all", "--evaluate", "--split", "2")
    assert found == TrainParameters(
        config=TrainingConfig(epochs=3), recipe=Recipe(frame="kidneys"), all_folds=True, evaluate=True, split=2
    )
    assert asked("train", "--fold", "1").config.fold == 1
    assert asked("train").recipe is None  # the one that the dataset was prepared by
    assert asked("train", "--from", "champion", "--epochs", "2").from_model == "champion"
    assert asked("split", "--keep", "1", "--dataset", "site") == SplitParameters(keep=1, dataset="site")
    assert asked("predict", "a.nii.gz", "--out", "plans", "--flips") == PredictParameters(
        scans=["a.nii.gz"], out="plans", flips=True
    )


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--loss", "dice"),
        ("train", "--epochs", "many"),
        ("train", "--resume", "1", "--epochs", "3"),
        ("train", "--extend", "1", "--epochs", "3", "--shape", "64"),
        ("train", "--from", "1", "--filters", "8"),
        ("prepare", "--for", "1", "--shape", "64"),
        ("prepare", "--window", "3"),
        ("prepare", "--frame", "kidney"),
        ("evaluate", "--subset", "test"),
    ],
)
def test_wrong_usage_ends_with_2_before_a_run(asked, words):
    assert asked(*words) == 2


def test_help_of_all_verbs_waits_for_no_settings():
    code = "import sys\nsys.argv = ['kits', '--help']\nfrom deployments.cli import main\n"
    code += "try:\n    main()\nfinally:\n    print('pydantic' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Train the 3-D U-Net" in done.stdout
    assert done.stderr.strip() == "False"


def test_every_setting_of_a_training_has_a_section():
    assert SECTION_OF.keys() == TrainingConfig.model_fields.keys()
    assert set(SECTION_OF.values()) == {"Steps", "Network", "Loss", "Machine", "Data"}
