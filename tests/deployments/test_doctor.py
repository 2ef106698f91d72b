import json
import os
import shutil
import signal
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import text

from db.engine import catalog_session
from db.migrate import HEAD
from db.settings import Settings
from deployments import doctor
from deployments.doctor import Findings, examine
from kits_core.cpu import Cpu, this_cpu

PROBED = {
    "backend": "tensorflow", "keras": "3", "cpu_kernels": "oneDNN", "gpus": [], "device": "cpu", "policy": "float32",
    "first_step_seconds": 8.0, "step_seconds": 0.4,
}  # fmt: skip


@pytest.fixture
def probed(monkeypatch):
    """The probe's process has said something, or ended in some way."""

    def say(status=0, stderr="", lines=(), **changed):
        out = "\n".join([*lines, json.dumps(PROBED | changed)])
        done = subprocess.CompletedProcess([], status, out, stderr)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    return say


@pytest.mark.slow
def test_as_a_user_runs_it_on_a_machine_without_a_home(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    home = tmp_path / "home"
    code = "from deployments.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor", "--json"],
        env=environment | {"KITS_HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert (done.returncode, found["problems"]) == (0, []), done.stderr
    facts = found["facts"]
    assert facts["cpu"] == str(this_cpu())
    assert facts["home"] == f"{home} (made by the first command)"
    assert facts["catalog_version"] == f"none yet; the first command makes version {HEAD}"
    assert facts["prefect_server"].startswith("none now")
    assert facts["cpu_kernels"].startswith("oneDNN")
    assert 0 < facts["training_step_s"] < facts["first_step_s"]
    assert facts["reading_mb_per_s"] > 1
    assert not home.exists()


def test_a_cpu_without_avx_is_named(probed):
    found, cpu = Findings(), Cpu("Atom", "x86_64", ())
    probed(status=-signal.SIGILL)
    doctor._network(found, cpu, [])
    (problem,) = found.problems
    assert problem.startswith("TensorFlow needs AVX, which this CPU (Atom (x86_64: no vector units known))")


@pytest.mark.parametrize(
    ("environment", "changed", "told"),
    [
        ({"TF_ENABLE_ONEDNN_OPTS": "0"}, {"cpu_kernels": "Eigen"}, "unset TF_ENABLE_ONEDNN_OPTS"),
        ({}, {"cpu_kernels": "Eigen"}, "this build of TensorFlow has no oneDNN"),
        ({}, {"step_seconds": 9.0}, "takes 9.0 s; see whether other programs keep the CPU busy"),
        ({}, {"status": 1, "stderr": "Traceback\nImportError: no CUDA"}, "got status 1: ImportError: no CUDA"),
    ],
)
def test_what_is_wrong_with_the_backend_has_a_way_out(monkeypatch, probed, environment, changed, told):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    probed(**changed)
    found = Findings()
    doctor._network(found, this_cpu(), [])
    (problem,) = found.problems
    assert told in problem


def test_a_card_that_the_backend_does_not_see_is_named(probed):
    probed()
    found = Findings()
    doctor._network(found, this_cpu(), ["NVIDIA A100, 81920 MiB, driver 550"])
    (problem,) = found.problems
    assert "sees none of the machine's graphics cards; run make EXTRA=gpu demo" in problem
    probed(gpus=["NVIDIA A100"], device="gpu", policy="mixed_bfloat16", step_seconds=9.0)
    found = Findings()
    doctor._network(found, this_cpu(), ["NVIDIA A100, 81920 MiB, driver 550"])
    assert found.problems == []


def test_a_driver_that_does_not_answer_is_a_problem_and_no_card(monkeypatch):
    def hang(*_, **__):
        raise subprocess.TimeoutExpired("nvidia-smi", 30)

    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(subprocess, "run", hang)
    found = Findings()
    assert doctor._graphics_cards(found) == []
    assert "expected a list of graphics cards, got: Command 'nvidia-smi' timed out" in found.problems[0]


def test_the_kernels_instructions_come_from_what_onednn_says_itself(probed):
    probed(lines=["onednn_verbose,v1,info,cpu,isa:Intel AVX2", "onednn_verbose,v1,primitive,exec"])
    found = Findings()
    doctor._network(found, this_cpu(), [])
    assert found.facts["cpu_kernels"] == "oneDNN (Intel AVX2)"


def test_catalogs_of_other_versions_and_none_is_upgraded(home):
    with catalog_session(Settings()) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    found = Findings()
    doctor._catalog(found, Settings())
    assert (found.facts["catalog_version"], found.problems) == (f"0003; the next command upgrades it to {HEAD}", [])
    with catalog_session(Settings()) as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    doctor._catalog(found, Settings())
    assert "knows 0006 at most; update this installation".replace("0006", HEAD) in found.problems[0]


def test_a_server_and_a_database_that_do_not_answer_are_named_without_their_secrets(home, monkeypatch):
    monkeypatch.setenv("KITS_DATABASE_URL", "postgresql://kits:secret@127.0.0.1:1/kits")
    found = Findings()
    doctor._catalog(found, Settings())
    with temporary_settings({PREFECT_API_URL: "http://me:secret@127.0.0.1:1/api"}):
        doctor._prefect(found, Settings())
    assert len(found.problems) == 2
    assert "secret" not in str(found)
    assert "Connection refused" in found.problems[0]
    assert "http://127.0.0.1:1/api: expected an answer, got none" in found.problems[1]


def test_little_room_and_two_tensorflows_are_problems(home, monkeypatch, probed):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=10e9, used=9.9e9, free=0.1e9))
    monkeypatch.setattr(doctor, "version", lambda _: "1.0")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e9, total=8e9))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    probed()
    found = examine(Settings())
    for told in ("0.1 GB are free", "both tensorflow and tensorflow-cpu", "1.0 GB of memory are free"):
        assert any(told in problem for problem in found.problems), told
    assert not home.exists()
