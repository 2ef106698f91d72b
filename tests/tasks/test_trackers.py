"""MLflow in a database on disk, and Weights & Biases offline: nothing leaves the machine."""

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks import trackers
from tasks.trackers import Tracked, Tracker, followers

SETTINGS = {"dataset": "phantoms", "epochs": 3, "final_learning_rate": None}


@pytest.fixture(autouse=True)
def _nothing_asked_for(monkeypatch):
    for name in [name for name in os.environ if name.startswith(("MLFLOW_", "WANDB_"))]:
        monkeypatch.delenv(name)


@pytest.fixture
def run(tmp_path):
    return Tracked("phantoms · run 1", tmp_path, SETTINGS)


def _told(run, epochs, ending="completed"):
    """A call that tells these epochs; what each tracker was not told."""
    said = []
    found = followers(run, said.append)
    for epoch in epochs:
        for follower in found:
            follower.epoch(epoch, {"loss": 1 / epoch, "kidney_dice": 0.5})
    assert said == []
    return [follower.end(ending, 60) for follower in found]


@pytest.fixture
def client(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return MlflowClient()


def _runs(client, experiment="kits"):
    return client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def test_mlflow_has_one_run_with_each_epoch_once_however_often_a_training_is_stopped(client, run):
    assert _told(run, [1, 2], "cancelled") == [None]
    (found,) = _runs(client)
    assert found.info.status == "KILLED"
    assert _told(run, [1, 2, 3]) == [None]
    (found,) = _runs(client)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == run.name
    assert found.data.params == {"dataset": "phantoms", "epochs": "3", "final_learning_rate": "None"}
    history = client.get_metric_history(found.info.run_id, "loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 1 / 2), (3, 1 / 3)]


def test_a_run_that_someone_deleted_from_mlflow_is_made_again(client, run, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "kidneys")
    _told(run, [1])
    (found,) = _runs(client, "kidneys")
    client.delete_run(found.info.run_id)
    _told(run, [1, 2], "failed")
    (again,) = _runs(client, "kidneys")
    assert again.info.run_id != found.info.run_id
    assert again.info.status == "FAILED"
    assert len(client.get_metric_history(again.info.run_id, "loss")) == 2


def test_an_mlflow_that_is_away_is_told_later(client, run, monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    (why,) = _told(run, [1])
    assert "127.0.0.1" in why
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert _told(run, [1, 2]) == [None]
    (found,) = _runs(client)
    assert len(client.get_metric_history(found.info.run_id, "loss")) == 2


def test_weights_and_biases_offline_has_the_epochs_and_no_path_of_the_machine(run, monkeypatch, tmp_path):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setenv("WANDB_PROJECT", "kidneys")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert _told(run, [1, 2]) == [None]
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    raw = file.read_bytes()
    assert raw.count(b"kidney_dice") >= 2
    assert b'"phantoms"' in raw
    for secret in (str(tmp_path), sys.executable, str(Path.cwd())):
        assert secret.encode() not in raw


def test_nothing_is_sent_where_nothing_was_asked_for(run, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert followers(run, pytest.fail) == []


def test_a_tracker_that_is_not_installed_is_named(run, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    said = []
    assert followers(run, said.append) == []
    assert "pip install mlflow" in said[0]


class _Hanging(Tracker):
    def _begin(self, run, key):
        threading.Event().wait()

    def epoch(self, epoch, values):
        raise AssertionError("the run was never made")

    def end(self, ending):
        raise AssertionError("the run was never made")


def test_a_training_waits_for_a_tracker_that_hangs_no_longer_than_it_says(run):
    follower = trackers.Follower("hanging", _Hanging, run)
    start = time.monotonic()
    follower.epoch(1, {"loss": 1.0})
    assert time.monotonic() - start < 1
    assert "no answer" in follower.end("completed", 0.3)
