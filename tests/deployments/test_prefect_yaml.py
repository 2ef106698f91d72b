import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]


def _prefect(*words):
    command = [sys.executable, "-m", "prefect", "--no-prompt", *words]
    run = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"KITS_ROOT": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_all_deploy_as_they_are_and_their_parameters_are_forms_with_bounds(prefect_api, api, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    for pool in ("cpu", "gpu"):
        _prefect("work-pool", "create", "--type", "process", "--overwrite", pool)
    _prefect("deploy", "--all")
    found = api.post("deployments/filter", json={}).raise_for_status().json()
    by_name = {deployment["name"]: deployment for deployment in found}
    assert {deployment["name"] for deployment in DEPLOYMENTS} <= set(by_name)
    definitions = by_name["train"]["parameter_openapi_schema"]["definitions"]
    assert definitions["TrainingConfig"]["properties"]["epochs"]["minimum"] == 1
    for schema in definitions.values():
        assert all("description" in field for field in schema["properties"].values()), schema["title"]

    wrong = {"parameters": {"parameters": {"config": {"epochs": 0}}}}
    refused = api.post(f"deployments/{by_name['train']['id']}/create_flow_run", json=wrong)
    assert refused.status_code == 409
    assert "less than the minimum of 1" in refused.text


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_every_deployment_says_what_it_does(deployment):
    assert deployment["description"].endswith(".")
    assert (ROOT / deployment["entrypoint"].split(":")[0]).is_file()
