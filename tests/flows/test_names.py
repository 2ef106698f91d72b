from importlib import import_module
from pathlib import Path

import pytest
import yaml

from flows.names import PARAMETERS, name_of_run

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


@pytest.mark.parametrize(
    ("flow", "asked", "name"),
    [
        ("train", {}, "train · newest split · seed 23"),
        (
            "train",
            {"prepared": "2 · kidneys 64", "fold": 1, "more": {"split": 3}},
            "train · recipe 2 · split 3 · fold 1 · seed 23",
        ),
        (
            "train",
            {"recipe": {"frame": "kidneys"}, "config": {"seed": 4}},
            "train · kidneys 128 · newest split · seed 4",
        ),
        (
            "train",
            {"more": {"cascade": True, "all_folds": True}},
            "train · cascade · newest split · all folds · seed 23",
        ),
        ("train", {"prepared": 2, "more": {"cascade": True}}, "train · cascade, recipe 2 · newest split · seed 23"),
        ("train", {"more": {"resume": 5}}, "train · run 5 goes on"),
        ("train", {"epochs": 90, "more": {"extend": 5}}, "train · run 5 · 90 epochs"),
        ("ingest", {"source": "/data/site"}, "ingest · /data/site"),
        ("prepare", {"recipe": {"shape": 64}}, "prepare · volume 64"),
        ("prepare", {"for_model": "champion"}, "prepare · for model champion"),
        ("train", {"more": {"from_model": "3"}}, "train · from model 3 · newest split · seed 23"),
        ("evaluate", {"model": "3"}, "evaluate · model 3 · validation"),
        ("correct-laid", {}, "correct · what lies in corrections"),
    ],
)
def test_a_run_is_named_after_what_is_asked(flow, asked, name):
    assert name_of_run(flow, {"parameters": asked}) == name


@pytest.mark.parametrize(
    ("flow", "stored"),
    [("train", {"parameters": {"epochs": 0}}), ("predict", {}), ("ingest", {"parameters": None}), ("another", {})],
)
def test_what_is_no_parameters_of_a_flow_has_no_name(flow, stored):
    assert name_of_run(flow, stored) is None


def test_every_deployment_starts_a_flow_that_has_such_names():
    for deployment in DEPLOYMENTS:
        module, _, function = deployment["entrypoint"].partition(":")
        flow = getattr(import_module(module.removesuffix(".py").replace("/", ".")), function)
        assert flow.flow_run_name == PARAMETERS[flow.name].RUN


def test_what_people_start_fills_the_first_page_of_ten_and_what_runs_by_itself_comes_after_it():
    names = sorted(deployment["name"] for deployment in DEPLOYMENTS)
    assert names[9] == "train"
    assert all(name.startswith("watch-") for name in names[10:])
    by_themselves = {d["name"] for d in DEPLOYMENTS if "schedules" in d} | {"watch-corrections"}
    assert set(names[10:]) == by_themselves
