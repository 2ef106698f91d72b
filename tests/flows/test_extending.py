"""What docs/extending.md says of a stage is so."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture
def module(tmp_path):
    """The page's module."""
    part = PAGE.read_text(encoding="utf-8").partition("## A stage\n")[2]
    (tmp_path / "brightness.py").write_text(part.partition("```python\n")[2].partition("```")[0], encoding="utf-8")
    spec = importlib.util.spec_from_file_location("brightness", tmp_path / "brightness.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.usefixtures("home", "prefect_api")
def test_a_module_is_all_that_a_stage_takes(module, phantoms, api, tmp_path):
    for number in range(3):
        shutil.copytree(phantoms / f"case_{number:05d}", tmp_path / "source" / f"case_{number:05d}")
    ingest(IngestParameters(source=str(tmp_path / "source"), dataset="few"))
    shutil.rmtree(Settings().raw / "few" / "case_00001")
    state = module.brightness(module.BrightnessParameters(dataset="few"), return_state=True)
    assert re.match(r"Completed with problems: 1 of 3 cases failed \(first: case_00001: ", state.message)
    found = state.result()
    assert sorted(found) == ["case_00000", "case_00002"]
    assert all(-1000 < mean < 300 for mean in found.values())
    run = api.get(f"flow_runs/{state.state_details.flow_run_id}").json()
    assert run["name"] == "brightness · few"
