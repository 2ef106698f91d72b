"""Per-case work on a real Dask cluster: the same files as without one, and a worker's end loses nothing."""

import gc
import os
import signal
import threading
import time

import pytest

from db.settings import Settings
from flows.fan_out import task_runner
from flows.ingest import ingest
from flows.parameters import IngestParameters, PrepareParameters
from flows.prepare import prepare
from kits_core.errors import KitsError
from kits_core.recipe import Recipe

distributed = pytest.importorskip("distributed")
prefect_dask = pytest.importorskip("prefect_dask")

pytestmark = [
    pytest.mark.usefixtures("prefect_api", "home"),
    pytest.mark.slow,
    # Of its own start and end: sockets and subprocesses that its event loop has not closed yet.
    pytest.mark.filterwarnings("ignore"),
]

RECIPE = Recipe(shape=32)
MADE = "SELECT c.name, p.image_sha256, p.label_sha256, p.peak_bytes > 20e6 FROM prepared_case p JOIN \"case\" c ON c.id = p.case_id ORDER BY 1"  # fmt: skip # noqa: E501


@pytest.fixture
def ingested(phantoms, prefect_api, home):
    return ingest(IngestParameters(source=str(phantoms), dataset="phantoms"))


@pytest.fixture
def cluster(home):
    """Two processes of one thread, that know the home because they are started now."""
    made = distributed.LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
    with made as running:
        yield running


def _on(dask, monkeypatch):
    monkeypatch.setenv("KITS_DASK", dask)
    return prepare.with_options(task_runner=task_runner())


def test_a_cluster_makes_the_same_files_as_this_machine(ingested, cluster, rows, monkeypatch):
    assert prepare(PrepareParameters(recipe=RECIPE)).made_now == 8
    here = rows(MADE)
    (Settings().prepared / RECIPE.hash).rename(Settings().prepared / "before")
    assert _on(cluster.scheduler_address, monkeypatch)(PrepareParameters(recipe=RECIPE)).made_now == 8
    assert rows(MADE) == here
    assert all(big for *_, big in here)


def test_a_worker_that_is_killed_costs_its_case_a_second_try_and_no_more(ingested, cluster, rows, monkeypatch, api):
    def kill_one():
        while len(rows("SELECT id FROM prepared_case")) < 2:
            time.sleep(0.05)
        os.kill(next(iter(cluster.workers.values())).pid, signal.SIGKILL)

    def running():
        asked = {"task_runs": {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}}
        return {run["id"] for run in api.post("task_runs/filter", json=asked).raise_for_status().json()}

    before = running()  # those that other tests of this server left
    killer = threading.Thread(target=kill_one)
    killer.start()
    done = _on(cluster.scheduler_address, monkeypatch)(PrepareParameters(recipe=RECIPE))
    killer.join()
    assert (done.prepared, done.refused) == (8, 0)
    assert rows("SELECT COUNT(*), COUNT(DISTINCT case_id) FROM prepared_case") == [(8, 8)]
    assert rows("SELECT * FROM open_problem") == []
    deadline = time.monotonic() + 30
    while left := running() - before:
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


def test_a_case_that_fails_is_named_and_stops_no_other(ingested, rows, monkeypatch):
    (Settings().raw / "phantoms" / "case_00003" / "imaging.nii").write_bytes(b"no scan")
    with pytest.raises(KitsError, match=r"inputs of 8 cases, got none of 1 \(first: case_00003: "):
        _on("local", monkeypatch)(PrepareParameters(recipe=RECIPE))
    assert rows("SELECT COUNT(*) FROM prepared_case") == [(7,)]
    ((name, problem),) = rows("SELECT case_name, error FROM open_problem")
    assert name == "case_00003"
    assert "case_00003" in problem


def test_others_on_this_machine_cannot_use_the_cluster_of_a_flow(home, monkeypatch):
    monkeypatch.setenv("KITS_DASK", "local")
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    with task_runner() as runner:
        assert isinstance(runner, prefect_dask.DaskTaskRunner)
        address = runner.client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        for scheme in ("tls", "tcp"):
            gc.collect()  # a client that is collected as the next one's loop starts holds that up until it gives up
            with pytest.raises((OSError, TypeError)):
                distributed.Client(address.replace("tls", scheme), timeout=3)


def test_a_setting_that_is_no_cluster_is_refused(monkeypatch):
    monkeypatch.setenv("KITS_DASK", "localhost:8786")
    with pytest.raises(KitsError, match=r"expected local or the address of a scheduler \(tcp://host:8786\)"):
        task_runner()
