"""What a night may bring, on `kits up` with everything on PostgreSQL (SQLite where there is none)."""

import signal
import subprocess
import time
from datetime import datetime, timedelta
from itertools import pairwise

import httpx
import pytest
from sqlalchemy import text

from db.engine import make_engine
from db.home_catalog import remembered
from db.settings import Settings
from kits_core.files import sha256_of
from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.server import DatasetServer

pytestmark = pytest.mark.slow

RECIPE = {"shape": 32}
ENDED = {"Completed", "Failed", "Crashed", "Cancelled"}


@pytest.fixture(scope="module")
def database(request):
    """A database of a real PostgreSQL that `kits up` is told; None where there is none."""
    try:
        cluster = request.getfixturevalue("cluster")
    except pytest.skip.Exception:
        return None
    cluster.execute("CREATE DATABASE night")
    return cluster.url("night")


@pytest.fixture(scope="module")
def up(start_up, database, tmp_path_factory):
    running = start_up(tmp_path_factory.mktemp("night") / "home", *(["--database", database] if database else []))
    yield running
    running.end()


@pytest.fixture(scope="module")
def rows(up, database):
    """Ask the catalog, whatever happens to its server in the meantime."""
    engine = make_engine(Settings(home=up.home, database_url=database).catalog_url)

    def ask(query):
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    yield ask
    engine.dispose()


@pytest.fixture(scope="module")
def ingested(up, source):
    """The data that the tests after the first need, if that one was left out."""
    up.wait_for(up.start("ingest", {"source": str(source), "dataset": "phantoms", "replace_source": True}), "Completed")


def _until(condition, seconds=120, every=0.2):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "what the test waits for did not come"
        time.sleep(every)
    return found


def test_the_catalog_and_prefects_own_state_are_where_they_were_asked_to_be(up, database, cluster):
    assert not (up.home / "catalog.db").exists()
    assert not (up.home / "prefect" / "prefect.db").exists()
    catalog = make_engine(Settings(database_url=database).catalog_url)
    prefect = make_engine(Settings(database_url=f"{database}_prefect").catalog_url)
    with prefect.connect() as connection:
        assert connection.execute(text("SELECT COUNT(*) FROM deployment")).scalar() >= 9
    prefect.dispose()
    catalog.dispose()


def test_other_commands_find_the_catalog_that_up_was_given_and_none_makes_a_second(up, database):
    if database is None:
        pytest.skip("no PostgreSQL on this machine")
    assert "KITS_DATABASE_URL" not in up.environment
    up.kits("status")
    up.kits("sql", "SELECT COUNT(*) FROM case_overview")
    assert not (up.home / "catalog.db").exists()
    assert remembered(up.home).prefect
    other = up.environment | {"KITS_DATABASE_URL": f"{database}_other"}
    refused = subprocess.run([*up.KITS, "status"], env=other, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "expected its one catalog, at" in refused.stderr


def test_a_server_that_is_killed_while_cases_come_in(up, source, rows):
    slow = [Fault(f"case_{n:05d}/imaging.nii.gz", FaultKind.STALL, stall_s=6) for n in range(6)]
    with DatasetServer(source, slow) as host:
        run = up.start("ingest", {"source": host.address, "dataset": "phantoms", "workers": 2, "replace_source": True})
        _until(lambda: any((up.home / "incoming").rglob("*.partial")))
        server = next(child for child in up.children() if "deployments.server_process" in child.cmdline())
        server.kill()
        _until(lambda: _answers(up) and server.pid not in {child.pid for child in up.children()})
        ended = up.wait_for(run, *ENDED, may_fail=True)
        if ended["state_name"] != "Completed":  # a call that the kill cut off; the next run goes on where it was
            up.wait_for(
                up.start("ingest", {"source": host.address, "dataset": "phantoms", "replace_source": True}), "Completed"
            )
    stored = rows("SELECT path, sha256 FROM case_file")
    assert len(stored) == 12
    assert all(sha256_of(up.home / path) == sha256 for path, sha256 in stored)
    assert rows("SELECT COUNT(*), COUNT(DISTINCT case_name) FROM case_overview WHERE status = 'ingested'") == [(6, 6)]
    assert rows("SELECT * FROM open_problem") == []


def test_a_database_that_starts_again_while_cases_are_prepared(up, ingested, rows, request):
    cluster = request.getfixturevalue("cluster")
    run = up.start("prepare", {"recipe": RECIPE, "workers": 1})
    _until(lambda: rows("SELECT id FROM prepared_case"), every=0.02)
    cluster.stop()
    time.sleep(3)
    cluster.start()
    ended = _until(lambda: _try(up.wait_for, run, *ENDED, may_fail=True), seconds=240)
    again = 0
    if ended["state_name"] != "Completed":
        before = len(rows("SELECT id FROM prepared_case"))
        up.wait_for(up.start("prepare", {"recipe": RECIPE}), "Completed")
        again = 6 - before
    made = rows("SELECT case_id, image_path, image_sha256 FROM prepared_case")
    assert len({case for case, *_ in made}) == len(made) == 6
    assert all(sha256_of(up.home / path) == sha256 for _, path, sha256 in made)
    assert rows("SELECT * FROM open_problem") == []
    assert again < 6


def test_a_worker_that_is_killed_with_its_training(up, ingested, rows):
    up.wait_for(up.start("prepare", {"recipe": RECIPE}), "Completed")
    up.wait_for(up.start("split", {}), "Completed")
    asked = {"recipe": RECIPE, "config": {"epochs": 6, "batch_size": 2, "architecture": "plain_unet", "filters": 8}}
    first = up.start("train", asked)
    _until(lambda: len(rows("SELECT DISTINCT epoch FROM epoch_metric")) >= 2, every=0.05)
    worker = next(child for child in up.children() if child.cmdline()[-3:-1] == ["gpu", "gpu-0"])
    for process in [*worker.children(recursive=True), worker]:
        process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    second = up.start("train", asked)
    assert up.wait_for(first, *ENDED, may_fail=True)["state_name"] == "Crashed"
    assert time.monotonic() - killed < 180
    up.wait_for(second, "Completed", seconds=300)
    ((run, status),) = rows("SELECT id, status FROM training_run")
    assert status == "completed"
    losses = rows(f"SELECT epoch FROM epoch_metric WHERE run_id = {run} AND name = 'loss' ORDER BY epoch")
    assert [epoch for (epoch,) in losses] == [1, 2, 3, 4, 5, 6]
    assert rows("SELECT COUNT(*) FROM model") == [(1,)]
    running = [run["name"] for run in up.ask("flow_runs/filter") if run["state_type"] == "RUNNING"]
    assert not [name for name in running if name.startswith("train")]


def test_a_schedule_keeps_its_times_is_never_beside_itself_and_finds_nothing_to_do(up, ingested, source, rows):
    (nightly,) = [d for d in up.ask("deployments/filter") if d["name"] == "watch-kits23"]
    address = f"deployments/{nightly['id']}"
    before = rows("SELECT id, version FROM case_file ORDER BY id")
    parameters = {"parameters": {"source": str(source), "dataset": "phantoms", "replace_source": True}}
    up.http.patch(address, json={"parameters": parameters}).raise_for_status()
    schedule = [{"active": True, "schedule": {"interval": 25}}]
    (made,) = up.http.post(f"{address}/schedules", json=schedule).raise_for_status().json()
    try:
        chosen = {"deployments": {"id": {"any_": [nightly["id"]]}}, "flow_runs": {"state": {"name": {"any_": ["Completed"]}}}}  # fmt: skip # noqa: E501
        runs = _until(lambda: (found := up.ask("flow_runs/filter", **chosen)) and len(found) >= 2 and found, every=1)
    finally:
        up.http.delete(f"{address}/schedules/{made['id']}").raise_for_status()
    assert {run["work_queue_name"] for run in runs} == {"night"}
    times = sorted(
        tuple(datetime.fromisoformat(run[name]) for name in ("expected_start_time", "start_time", "end_time"))
        for run in runs
    )
    for asked, began, _ended in times:
        assert abs(began - asked) < timedelta(seconds=60)  # not at another time of the day, on a loaded machine too
    assert all(ended <= began for (_, _, ended), (_, began, _) in pairwise(times))
    assert rows("SELECT id, version FROM case_file ORDER BY id") == before
    prepared = [run for run in up.ask("flow_runs/filter") if run["name"].startswith("prepare") and run["created_by"]]
    assert all(datetime.fromisoformat(run["created"]) < times[0][0] for run in prepared)


def _answers(up):
    return _try(up.ask, "deployments/filter") is not None


def _try(call, *args, **named):
    try:
        return call(*args, **named)
    except httpx.HTTPError:
        return None
