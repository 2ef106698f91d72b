"""The generated pages leave nothing out, and the same code gives the same pages."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import db
import kits_core
from db.settings import Settings
from db.variables import kits_variables
from deployments.reference import pages
from deployments.reference.commands import commands
from deployments.reference.messages import messages
from deployments.reference.settings import flow_parameters
from kits_core.metrics.known import METRICS
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe
from tasks.events import DATASET_CHANGED, MODEL_TRAINED

ROOT = Path(__file__).parents[3]
ROOMS = ("kits_core", "db", "tasks", "flows", "deployments")
SOURCES = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]


@pytest.fixture(scope="module")
def made():
    return pages()


def test_every_verb_of_the_help_has_its_section_with_all_its_options(made):
    page = made["reference/commands.md"]
    code = "from deployments.cli import main; main()"
    shown = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True).stdout
    verbs = set(re.findall(r"^│ ([a-z]+)  ", shown, flags=re.MULTILINE))
    assert len(verbs) > 20
    assert verbs == {name.split()[0] for name in commands()}
    for name, command in commands().items():
        section = page.split(f"\n## kits {name}\n")[1].split("\n## ")[0]
        assert all(
            f"`{spelling}`" in section
            for one in command.params
            if one.param_type_name == "option"
            for spelling in one.opts
        )
    assert "`--epochs`" in page


def test_every_option_and_argument_says_what_it_is():
    silent = [
        f"{name} {parameter.name}"
        for name, command in commands().items()
        for parameter in command.params
        if not parameter.help
    ]
    assert silent == []


@pytest.mark.parametrize("model", [Recipe, TrainingConfig, *flow_parameters()], ids=lambda model: model.__name__)
def test_every_setting_is_on_its_page_with_its_meaning(made, model):
    section = made["reference/settings.md"].split(f"\n## {model.__name__}\n")[1].split("\n## ")[0]
    for name, field in model.model_fields.items():
        assert field.description, name
        assert f"| `{name}` |" in section


def test_every_variable_that_the_code_reads_is_registered_and_on_its_page(made):
    read = {
        node.value
        for path in SOURCES
        if path.name != "variables.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"KITS_[A-Z0-9_]+", node.value)
    }
    read |= set(re.findall(r"\$(KITS_[A-Z]+)", (ROOT / "prefect.yaml").read_text(encoding="utf-8")))
    read |= {f"KITS_{name.upper()}" for name in Settings.model_fields}
    assert {"KITS_ROOT", "KITS_WORKER", "KITS_READER_PASSWORD", "KITS_UP_DATABASE"} <= read
    assert kits_variables().keys() == read
    assert all(f"| `{name}` |" in made["reference/environment.md"] for name in read)
    assert all(kits_variables().values())


def test_every_deployment_and_metric_is_on_its_page(made):
    names = re.findall(r"^  - name: (.+)$", (ROOT / "prefect.yaml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(names) > 10
    assert all(f"\n## {name}\n" in made["reference/deployments.md"] for name in names)
    assert all(f"(`{metric.name}`)" in made["reference/metrics.md"] for metric in METRICS)


def test_every_artifact_and_event_is_on_its_page_and_those_that_people_are_told_of_exist(made):
    page = made["reference/deployments.md"]
    told = (ROOT / "docs" / "running.md").read_text(encoding="utf-8").split("| artifact | of |\n")[1].split("\n\n")[0]
    keys = re.findall(r"`([^`]+)`", "\n".join(row.split("|")[1] for row in told.splitlines()))
    assert {"ingest", "learning-curve", "report"} <= set(keys)
    assert [key for key in keys if f"| `{key}` |" not in page and not key.endswith("-progress")] == []
    assert "| `…-progress` |" in page
    assert all(f"| `{event}` |" in page for event in (DATASET_CHANGED, MODEL_TRAINED))


def test_every_public_name_of_python_is_on_its_page(made):
    shown = re.findall(r"^::: (.+)$", made["reference/python.md"], flags=re.MULTILINE)
    expected = [f"{module.PLACES[name]}.{name}" for module in (kits_core, db) for name in module.__all__]
    assert sorted(shown) == sorted(expected)


def test_messages_are_found_as_they_are_raised(made):
    told = messages()
    assert "…: expected a prediction, got none; it counts as zero" in told["kits_core/metrics/folders.py"]
    assert any(
        "expected folds, got none; make a split with kits split --folds 5" in text for text in told["tasks/train.py"]
    )
    step = "correct it at its source, then run ingest again"  # a constant of that module
    assert f"…: expected labels from 0 to 3, got … to …; {step}" in told["kits_core/recipe/prepare.py"]
    assert any("expected one fold or all, got both" in text for text in told["flows/parameters.py"])
    assert sum(map(len, told.values())) > 250


def test_each_entry_of_the_troubleshooting_page_quotes_a_message_of_today(made):
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = [
        text
        for heading in re.findall(r"^### (.+)$", page, flags=re.MULTILINE)
        for text in re.findall(r'"([^"]+)"', heading)
    ]
    known = made["reference/messages.md"]
    lost = [text for text in quoted if not re.search(_as_pattern(text), known)]
    assert len(quoted) >= 20
    assert lost == []


def _as_pattern(quoted):
    """A quotation with numbers, names and `…` where the message has something that is computed."""
    words = [re.escape(word) for word in quoted.split()]
    return r"\s".join("…" if word in {re.escape("…"), "128", "tensorflow"} else word for word in words)


def test_the_same_code_gives_the_same_pages(made):
    code = "import json; from deployments.reference import pages; print(json.dumps(pages()))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(printed) == 1
