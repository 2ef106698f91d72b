import json
import os
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from db.engine import catalog_session
from db.queries.ingest import ensure_case, ensure_dataset, record_problem
from db.settings import Settings
from deployments.cli.app import app
from deployments.cli.options import make_options
from kits_core.network.environment import environment


@pytest.fixture
def some_rows(home):
    with catalog_session(Settings()) as session:
        dataset = ensure_dataset(session, name="d", source="s", revision=None, flow_run_id=None)
        case = ensure_case(session, dataset, "case_00007")
        record_problem(session, case.id, "ingest", "case_00007: expected a scan, got a web page", None)


def test_help_answers_within_half_a_second_and_imports_nothing_heavy(kits_process):
    seconds = []
    for _ in range(5):
        before = os.times()
        help_text = kits_process("--help").stdout
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
    for verb in ("demo", "ingest", "prepare", "split", "train", "evaluate", "report", "sql", "status", "tidy"):
        assert f" {verb} " in help_text
    heavy = ("tensorflow", "keras", "prefect", "sqlalchemy", "numpy", "pandas", "pydantic")
    code = (
        "import sys\nsys.argv = ['kits', '--help']\nfrom deployments.cli import main\n"
        f"try: main()\nexcept SystemExit: pass\nsys.exit(str([m for m in {heavy} if m in sys.modules]))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr == "[]\n"
    # CPU seconds, 0.3 to 0.5 of them: how long it waits on a busy machine is not its own doing.
    assert statistics.median(seconds) < 2


def test_the_version_is_the_projects_which_runs_store_too(kits_process):
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert kits_process("--version").stdout == f"kits {project['version']}\n"
    assert environment()["kits-platform"] == project["version"]


def test_every_verb_has_a_help_text_with_an_example():
    from deployments.cli import catalog, data, demo, model  # noqa: F401

    verbs = typer.main.get_command(app)
    assert isinstance(verbs, TyperGroup)
    for name, command in verbs.commands.items():
        assert name == "demo" or "Example:" in command.help, name


def test_help_shows_no_value_behind_a_flag(kits):
    from deployments.cli import catalog, data, demo, model  # noqa: F401

    for words in (["--help"], ["train", "--help"], ["catalog", "--help"], ["catalog", "grant", "--help"]):
        shown = kits(*words).stdout
        assert "--help" in shown
        assert "<bool>" not in shown
    assert "<float>" in kits("train", "--help").stdout


def test_sql_prints_a_table_json_and_csv_and_cannot_write(kits, kits_process, some_rows, tmp_path):
    query = "SELECT case_name, stage FROM open_problem"
    assert "case_00007" in kits("sql", query).stdout
    assert json.loads(kits("sql", query, "--json").stdout) == [{"case_name": "case_00007", "stage": "ingest"}]
    kits("sql", query, "--csv", str(tmp_path / "a.csv"))
    assert (tmp_path / "a.csv").read_text().splitlines() == ["case_name,stage", "case_00007,ingest"]
    before = (tmp_path / "a.csv").read_bytes()
    for option in ("--csv", "--parquet"):
        refused = kits("sql", "SELECT 1", option, str(tmp_path / "a.csv"), status=1)
        assert "a.csv: expected no file there yet, got one of 34 bytes, which is never replaced" in refused.stderr
    assert (tmp_path / "a.csv").read_bytes() == before
    assert kits_process("sql", query, "--csv", "/dev/stdout").stdout.startswith("case_name,stage\ncase_00007,ingest\n")
    kits("sql", query, "--parquet", str(tmp_path / "a.parquet"))
    assert pd.read_parquet(tmp_path / "a.parquet").to_dict("records") == [
        {"case_name": "case_00007", "stage": "ingest"}
    ]
    kits("sql", "SELECT * FROM leaderboard", "--parquet", str(tmp_path / "empty.parquet"))
    assert "official_dice" in pd.read_parquet(tmp_path / "empty.parquet").columns
    refused = kits("sql", "DELETE FROM problem", status=1)
    assert "open_problem" in refused.stderr
    assert len(json.loads(kits("sql", query, "--json").stdout)) == 1


def test_brackets_in_answers_and_messages_are_no_styles(kits, some_rows, tmp_path):
    assert "[bold]x [/tmp/y]" in kits("sql", "SELECT '[bold]x [/tmp/y]' AS a").stdout
    assert "[/red]" in kits("sql", 'SELECT * FROM "[/red]"', status=1).stderr


def test_a_folder_that_is_not_there_is_said_before_the_work(kits, some_rows, tmp_path):
    refused = kits("sql", "SELECT 1", "--csv", str(tmp_path / "nowhere" / "a.csv"), status=1)
    assert "expected a folder to write to, got none at" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_sql_shows_the_views_and_their_columns(kits):
    assert "largest tumour diameter" in " ".join(kits("sql", "--views").stdout.split())


def test_status_tells_what_is_wrong_with_a_case(kits, some_rows):
    status = json.loads(kits("status", "--json").stdout)
    assert status["problems"][0]["error"] == "case_00007: expected a scan, got a web page"
    assert "case_00007" in kits("status").stdout


def test_tidy_shows_what_a_kill_left_and_removes_it_when_told_to(kits, home):
    assert kits("tidy").stdout == "nothing is left over\n"
    left = home / "raw" / "data" / "case_00000" / ".staging-abc"
    left.mkdir(parents=True)
    (left / "imaging.nii").write_bytes(bytes(2_000_000))
    assert "2.0 MB; kits tidy --yes removes them" in kits("tidy").stdout
    assert json.loads(kits("tidy", "--json").stdout)[0] == {
        "path": str(left), "bytes": 2_000_000, "what": "files of an ingestion that was killed, not verified",
    }  # fmt: skip
    assert left.exists()
    assert "2.0 MB, removed" in kits("tidy", "--yes").stdout
    assert not left.exists()


def test_status_of_an_empty_home(kits_process, home):
    assert "home:" in kits_process("status").stdout


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["nonsense"], 2, "No such command"),
        (["sql"], 2, "give a query, or --views"),
        (["sql", "SELEC 1"], 1, "views to ask: case_overview"),
        (["report"], 1, "expected an evaluation in the catalog, got none; run kits evaluate"),
    ],
)
def test_wrong_usage_and_failures_have_their_own_exit_status(kits_process, home, words, status, message):
    assert message in " ".join(kits_process(*words, status=status).stderr.replace("│", " ").split())


def test_a_setting_out_of_bounds_is_wrong_usage(kits_process, home, prefect_api, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    refused = kits_process("train", "--epochs", "0", status=2)
    assert "epochs: Input should be greater than or equal to 1, got 0" in refused.stderr


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["ingest", "--workers", "0"], "workers"),
        (["ingest", "--cases", "9-0"], "cases"),
        (["ingest", "--source", "x", "--dataset", "../up"], "dataset"),
        (["prepare", "--shape", "48"], "shape"),
        (["split", "--validation", "2"], "validation"),
        (["train", "--batch-size", "8", "--micro-batch", "3"], "TrainingConfig"),
        (["train", "--fold", "first"], "fold"),
        (["promote", "best"], "model"),
        (["predict", "ct.nii", "--out", "x", "--model", "best"], "model"),
    ],
)
def test_a_wrong_setting_is_refused_before_a_server_is_started_or_a_home_made(home, monkeypatch, words, field):
    from deployments.cli import catalog, data, demo, model, predict  # noqa: F401

    monkeypatch.setattr("deployments.running.prefect_server", lambda *_, **__: pytest.fail("a server is started"))
    make_options()
    with pytest.raises(ValidationError) as refused:
        app(words, standalone_mode=False)
    (problem,) = refused.value.errors()
    assert field in (*problem["loc"], refused.value.title)
    assert not home.exists()


@pytest.mark.slow
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
def test_behind_a_proxy_that_does_not_reach_loopback_every_verb_works(
    kits_process, with_prefects_tables, monkeypatch, tmp_path, proxy
):
    from kits_core.phantom.dataset import write_phantoms

    monkeypatch.setenv("KITS_HOME", str(with_prefects_tables(tmp_path / "home")))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("no_proxy", "intranet.example")
    write_phantoms(tmp_path / "two", 2, 1, shape=(16, 48, 48), spacing_mm=(12.0, 6.0, 6.0))
    done = json.loads(kits_process("ingest", "--source", str(tmp_path / "two"), "--json").stdout)
    assert done["brought_in"] == 2


def test_the_result_is_json_on_standard_output_and_all_else_goes_to_standard_error(
    kits_process, home, prefect_api, monkeypatch, tmp_path
):
    from kits_core.phantom.dataset import write_phantoms

    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    write_phantoms(tmp_path / "two", 2, 1, shape=(16, 48, 48), spacing_mm=(12.0, 6.0, 6.0))
    done = json.loads(kits_process("ingest", "--source", str(tmp_path / "two"), "--json").stdout)
    assert done == {"dataset": "two", "chosen": 2, "brought_in": 2, "refused": 0, "vanished": 0, "notes": []}
    made = json.loads(kits_process("split", "--validation", "0.5", "--json").stdout)
    assert (made["train"], made["validation"]) == (1, 1)


def test_on_windows_it_names_wsl_instead_of_failing_at_an_import():
    code = """
import sys
sys.modules["fcntl"] = sys.modules["resource"] = None  # what Windows lacks
sys.argv = ["kits", "status"]
from deployments.cli import main
sys.platform = "win32"
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "expected Linux or macOS, got Windows; install the Windows Subsystem for Linux" in done.stderr
    assert "Traceback" not in done.stderr
