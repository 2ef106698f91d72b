"""`kits up` as a user starts and ends it: a real server, real workers, real runs."""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

import httpx
import nibabel as nib
import numpy as np
import psutil
import pytest
from playwright.sync_api import sync_playwright
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from sqlalchemy import text

from db.engine import open_catalog
from db.settings import Settings
from deployments.home_note import auth_string, prefect_home
from deployments.password import read_password
from deployments.up.automations import ALERT_BLOCK, ensure_automations

pytestmark = pytest.mark.slow

RECIPE = {"shape": 32}
SCREENSHOTS = Path(__file__).parents[2] / "test-output" / "dashboard"
CONFIG = {"epochs": 1, "batch_size": 2, "architecture": "plain_unet", "filters": 4, "learning_rate": 3e-3}


def _gone(processes, seconds=40):
    _, left = psutil.wait_procs(processes, timeout=seconds)
    return not left


@pytest.fixture(scope="module")
def up(start_up, tmp_path_factory):
    running = start_up(tmp_path_factory.mktemp("up") / "home")
    yield running
    running.end()


def test_pools_queues_deployments_and_automations_are_there(up):
    pools = {pool["name"]: pool["concurrency_limit"] for pool in up.ask("work_pools/filter")}
    assert pools == {"cpu": 4, "gpu": 1}
    queues = {queue["name"]: queue for queue in up.ask("work_pools/cpu/queues/filter")}
    assert queues["night"]["concurrency_limit"] == 1
    deployments = {d["name"]: d for d in up.ask("deployments/filter")}
    assert set(deployments) == {
        "watch-kits23", "ingest", "prepare", "split", "train", "cross-validate", "promote", "evaluate", "predict",
        "watch-inbox", "correct", "watch-corrections", "pipeline",
    }  # fmt: skip
    assert deployments["train"]["work_pool_name"] == "gpu"
    nightly = deployments["watch-kits23"]
    assert nightly["work_queue_name"] == "night"
    assert nightly["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    ((schedule, active),) = [(s["schedule"], s["active"]) for s in nightly["schedules"]]
    assert (schedule["timezone"], active) == ("Europe/Berlin", False)
    assert all(d["description"] and d["tags"] and d["version"] for d in deployments.values())
    enabled = {a["name"]: a["enabled"] for a in up.ask("automations/filter")}
    assert enabled == {
        "kits: prepare what changed": True,
        "kits: evaluate what was trained": True,
        "kits: train on what changed": False,
    }


def test_a_bad_parameter_is_refused_before_a_run_exists(up):
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        up.start("train", {"config": {"epochs": 0}})


@pytest.fixture(scope="module")
def page():
    """A page of a headless Chromium that reaches loopback alone; None where there is none."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        yield None
        return
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1300, "height": 1600})
        context.route(lambda url: not url.startswith("http://127.0.0.1:"), lambda route: route.abort())
        yield context.new_page()
        browser.close()


@pytest.fixture(scope="module")
def pipeline(up, page, source):
    """Id of a pipeline that completed, started from the dashboard's form where there is a browser."""
    if page is None:
        run = up.start("pipeline", {"source": str(source), "recipe": RECIPE, "config": CONFIG})
    else:
        run = _fill_in_the_form(up, page, source)
    assert up.wait_for(run, "Completed")["name"] == f"pipeline · {source}"
    return run


def _fill_in_the_form(up, page, source):
    (found,) = [d for d in up.ask("deployments/filter") if d["name"] == "pipeline"]
    # The page keeps a socket open, so it is never done loading.
    page.goto(up.link, wait_until="commit")
    page.wait_for_url(lambda url: "/kits/login" not in url, wait_until="commit")
    page.goto(f"http://127.0.0.1:{up.port}/deployments/deployment/{found['id']}/run", wait_until="commit")
    asked = {
        "Source": source,
        "Shape (voxels a side)": 32,
        "Epochs": 1,
        "Batch (cases)": 2,
        "Filters (channels)": 4,
        "Learning rate": 0.003,
    }
    for label, value in asked.items():
        setting = page.locator(".schema-form-property", has=page.get_by_text(f"{label} (Optional)", exact=True)).last
        setting.locator("input, textarea").first.fill(str(value), timeout=60_000)
    page.screenshot(path=SCREENSHOTS / "form.png", full_page=True)
    page.get_by_role("button", name="Submit").click()
    # The page says so for some seconds only, which a busy machine may let pass.
    deadline = time.monotonic() + 180
    while not (runs := up.ask("flow_runs/filter", flow_runs={"deployment_id": {"any_": [found["id"]]}})):
        assert time.monotonic() < deadline, page.locator("body").inner_text()
        page.wait_for_timeout(500)
    return runs[0]["id"]


def test_a_pipeline_and_what_sql_says_then(up, pipeline):
    (row,) = json.loads(up.kits("sql", "SELECT tumor_dice, kidney_dice FROM leaderboard", "--json"))
    artifacts = {a["key"]: a["data"] for a in up.ask("artifacts/latest/filter")}
    assert f"| {row['kidney_dice']:.3f} |" in artifacts["evaluation"]
    # The pipeline goes on by itself: no automation has started anything beside it.
    names = {run["name"].partition(" ")[0] for run in up.ask("flow_runs/filter")}
    assert names == {"pipeline", "ingest", "prepare", "split", "train", "evaluate"}
    assert len(up.ask("flow_runs/filter")) == 6


def test_the_dashboard_shows_the_run_and_its_scores(up, pipeline, page):
    if page is None:
        pytest.skip("no Chromium on this machine")
    page.goto(f"http://127.0.0.1:{up.port}/runs/flow-run/{pipeline}", wait_until="commit")
    page.get_by_text("Completed", exact=True).first.wait_for(timeout=60_000)
    page.wait_for_timeout(2000)
    page.screenshot(path=SCREENSHOTS / "run.png")
    evaluation = next(a for a in up.ask("artifacts/latest/filter") if a["key"] == "evaluation")
    page.goto(f"http://127.0.0.1:{up.port}/artifacts/artifact/{evaluation['latest_id']}", wait_until="commit")
    rows = page.locator("table").first.locator("tr")
    rows.first.wait_for(timeout=60_000)
    shown = {cells[0]: cells for row in rows.all() if (cells := row.locator("td").all_inner_texts())}
    page.screenshot(path=SCREENSHOTS / "evaluation.png", full_page=True)
    (scores,) = json.loads(up.kits("sql", "SELECT tumor_dice, kidney_dice FROM leaderboard", "--json"))
    assert any(f"{scores['kidney_dice']:.3f}" in cell for cell in shown["kidney"])
    assert any(f"{scores['tumor_dice']:.3f}" in cell for cell in shown["tumor"])


def test_what_was_trained_is_evaluated_by_itself_and_commands_share_the_server(up, pipeline):
    text_out = up.kits("train", "--shape", "32", "--epochs", "1", "--batch-size", "2", "--filters", "8", "--json")
    model = json.loads(text_out)[0]["model_id"]
    deadline = time.monotonic() + 120
    while not (
        runs := [r for r in up.ask("flow_runs/filter") if r["name"] == f"evaluate · model {model} · validation"]
    ):
        assert time.monotonic() < deadline
        time.sleep(1)
    up.wait_for(runs[0]["id"], "Completed")
    assert runs[0]["deployment_id"]


def test_trainings_take_turns_and_one_that_is_cancelled_frees_its_place_and_says_so(up, pipeline, monkeypatch):
    long = {"recipe": RECIPE, "config": CONFIG | {"epochs": 2000, "seed": 3}}
    first = up.start("train", long)
    up.wait_for(first, "Running")
    second = up.start("train", {"recipe": RECIPE, "config": CONFIG | {"seed": 4}})
    monkeypatch.setenv("KITS_HOME", str(up.home))
    epochs = "SELECT COUNT(*) FROM training_run r JOIN epoch_metric e ON e.run_id = r.id WHERE r.status = 'running'"
    deadline = time.monotonic() + 120
    while not json.loads(up.kits("sql", epochs, "--json"))[0]["COUNT(*)"]:
        assert time.monotonic() < deadline
        time.sleep(1)
    named = "train · volume 32 · newest split · seed 4"
    while (waiting := up.http.get(f"flow_runs/{second}").raise_for_status().json())["name"] != named:
        assert time.monotonic() < deadline
        time.sleep(1)
    assert waiting["state_type"] == "SCHEDULED"
    body = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    up.http.post(f"flow_runs/{first}/set_state", json=body).raise_for_status()
    ended = up.wait_for(first, "Cancelled")
    assert ended["name"] == "train · volume 32 · newest split · seed 3"
    assert ended["end_time"] <= up.wait_for(second, "Completed")["start_time"]
    (row,) = json.loads(up.kits("sql", "SELECT status, error FROM training_run WHERE status <> 'completed'", "--json"))
    assert row["status"] == "cancelled"
    assert "the same call goes on after the last whole epoch" in row["error"]


def test_failures_are_told_where_there_is_a_block_for_it(up):
    told = Queue()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            told.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server, ThreadPoolExecutor(1) as elsewhere:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # In another thread, because the browser's event loop runs in this one.
        made = elsewhere.submit(_tell, up, f"http://127.0.0.1:{server.server_port}").result()
        assert "kits: tell of failures" in made
        up.wait_for(up.start("evaluate", {"model": "999"}), "Failed", may_fail=True)
        text = told.get(timeout=60)
        server.shutdown()
    assert "evaluate · model 999 · validation: Failed" in text
    assert "expected model 999 in the catalog" in text


def _tell(up, address):
    """Make the block that failures are told through, and the automations anew; their names."""
    with temporary_settings({PREFECT_API_URL: up.api, PREFECT_API_AUTH_STRING: auth_string(up.home, up.api)}):
        block = CustomWebhookNotificationBlock(name="hook", url=address, json_data={"text": "{{subject}}: {{body}}"})
        block.save(ALERT_BLOCK)
        return ensure_automations()


@pytest.mark.usefixtures("pipeline")
def test_a_mask_that_is_laid_into_the_home_is_taken(up, source):
    laid = up.home / "corrections" / "case_00000.nii.gz"
    laid.parent.mkdir(exist_ok=True)
    image = nib.load(source / "case_00000" / "segmentation.nii.gz")
    labels = np.asarray(image.dataobj).astype(np.uint8)
    labels[labels == 3] = 1
    labels[0, 0, 0] = 2
    nib.save(nib.Nifti1Image(labels, image.affine), laid)
    deadline = time.monotonic() + 240
    while laid.exists():
        assert time.monotonic() < deadline
        time.sleep(1)
    (text,) = (up.home / "corrections" / "done" / "case_00000").glob("*.txt")
    assert "The reference of case_00000 of " in text.read_text(encoding="utf-8")
    runs = [run for run in up.ask("flow_runs/filter") if run["name"] == "correct · what lies in corrections"]
    assert [run["state_name"] for run in runs] in (["Completed"], ["Running"])


def test_what_dies_is_started_again(up):
    worker = next(child for child in up.children() if "cpu" in child.cmdline())
    worker.kill()
    deadline = time.monotonic() + 60
    while not any("cpu" in child.cmdline() for child in up.children() if child.pid != worker.pid):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_two_at_the_same_instant_are_one_its_end_leaves_no_process_and_a_second_start_undoes_nothing(
    start_up, with_prefects_tables, tmp_path
):
    running = _one_of_two(start_up, with_prefects_tables(tmp_path / "home"))
    _check_who_is_let_in(running, password=True)
    night, inbox = _night_and_inbox(running)
    ((schedule),) = night["schedules"]
    there = f"deployments/{night['id']}/schedules/{schedule['id']}"
    running.http.patch(there, json={"active": True}).raise_for_status()
    body = {"parameters": {"parameters": {"scans": ["/data/inbox"], "watch": True}}}
    running.http.patch(f"deployments/{inbox['id']}", json=body).raise_for_status()
    _check_that_nothing_is_left(running, signal.SIGINT)

    second = start_up(running.home, "--no-password")
    _check_who_is_let_in(second, password=False)
    night, inbox = _night_and_inbox(second)
    assert night["schedules"][0]["active"]
    assert inbox["parameters"]["parameters"]["scans"] == ["/data/inbox"]
    _check_that_nothing_is_left(second, signal.SIGKILL)


def _one_of_two(start_up, home):
    """The one that goes on, of two that were started at the same instant."""
    running, refused = [], []
    with ThreadPoolExecutor(2) as pool:
        for start in [pool.submit(start_up, home) for _ in range(2)]:
            try:
                running.append(start.result())
            except AssertionError as ended:
                refused.append(str(ended))
    (one,), (told,) = running, refused
    assert f"it is up already: http://127.0.0.1:{one.port}" in told
    return one


def _night_and_inbox(running):
    deployments = {d["name"]: d for d in running.ask("deployments/filter")}
    return deployments["watch-kits23"], deployments["watch-inbox"]


def _check_that_nothing_is_left(running, how):
    processes = running.children()
    assert len(processes) >= 3
    running.end(how)
    assert _gone(processes)
    with pytest.raises(httpx.ConnectError):
        running.ask("deployments/filter")


def _check_who_is_let_in(running, password):
    asked = f"{running.api}/flows/filter"
    assert httpx.post(asked, json={}, trust_env=False).status_code == (401 if password else 200)
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        assert httpx.post(asked, json={}, headers=headers, trust_env=False).status_code in (400, 403)
    assert running.link.partition("#")[0] == f"http://127.0.0.1:{running.port}" + ("/kits/login" if password else "")
    assert ("#kits:" in running.link) == password
    assert running.kits("up") == f"it is up already: {running.link}\n"  # other commands know


def test_the_password_stands_in_its_file_alone_and_on_no_command_line(up, pipeline):
    secret = read_password(prefect_home(up.home))
    holders = [path.name for path in up.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert holders == ["auth-string"]
    assert not [process for process in up.children() if secret in " ".join(process.cmdline())]
    environments = {process.pid: process.environ() for process in up.children() if "worker" in str(process.cmdline())}
    assert {environment["PREFECT_API_AUTH_STRING"] for environment in environments.values()} == {secret}
    assert not [env for env in environments.values() if "PREFECT_SERVER_API_AUTH_STRING" in env]


def test_a_server_for_others_needs_a_password(start_up, tmp_path):
    done = subprocess.run(
        [*start_up.KITS, "up", "--host", "0.0.0.0", "--no-password"],
        env=os.environ | {"KITS_HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "expected a server that this machine alone reaches, got --host 0.0.0.0" in done.stderr


def test_a_port_that_is_taken_is_said(start_up, up, tmp_path):
    done = subprocess.run(
        [*start_up.KITS, "up", "--port", str(up.port)],
        env=os.environ | {"KITS_HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "choose another with --port" in done.stderr


def test_the_catalog_of_it_can_be_asked_directly(up, pipeline, monkeypatch):
    monkeypatch.setenv("KITS_HOME", str(up.home))
    with open_catalog(Settings()).connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM case_overview")).scalar() == 6
