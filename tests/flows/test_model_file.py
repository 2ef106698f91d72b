"""A model as one file: exported from one home, imported into another, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import keras
import pytest
from sqlalchemy import select

from db.engine import catalog_session
from db.models import Model, TrainingRun
from db.queries import training
from db.queries.prepare import ensure_recipe
from db.settings import Settings
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.parameters import EvaluateParameters, IngestParameters, PredictParameters, SplitParameters
from flows.predict import predict
from flows.split import split
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.inference.predict import Segmenter
from kits_core.network.segmentation import SegmentationNetwork
from kits_core.plan.files import PLAN
from tasks.export_model import export_model
from tasks.import_model import import_model
from tasks.leftovers import find_leftovers

pytestmark = pytest.mark.slow

CHOSEN = {"rules": {"foreground_mm3": 1000.0, "tumor_mm3": 0.0}, "cases": 2, "before": 0.5, "after": 0.6}


@pytest.fixture(scope="module")
def networks_home(painted_home, tmp_path_factory):
    """The painted home with real networks: 1 and 2 see the whole scan, 3 is the second of a cascade on 1."""
    home = tmp_path_factory.mktemp("networks") / "home"
    shutil.copytree(painted_home, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KITS_HOME", str(home))
        with catalog_session(Settings()) as session:
            for model in session.scalars(select(Model).order_by(Model.id)):
                path, network = home / model.path, SegmentationNetwork(shape=32, filters=4, seed=model.id)
                network.save(path)
                model.sha256, model.parameters = sha256_of(path), network.count_params()
            first, third = session.get_one(Model, 1), session.get_one(Model, 3)
            recipe = third.run.recipe.read().model_copy(update={"locator": first.sha256})
            third.run.recipe = ensure_recipe(session, recipe.hash, recipe.to_stored(), None)
    return home


@pytest.fixture(scope="module")
def files(networks_home, tmp_path_factory):
    """Model 1, and the cascade of model 3, as files."""
    folder = tmp_path_factory.mktemp("files")
    notes = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KITS_HOME", str(networks_home))
        for model in ("1", "3"):
            export_model(model, folder / f"{model}.kits.zip", notes.append)
    assert notes == []
    return folder


@pytest.fixture(scope="module")
def _other(phantoms, prefect_api, tmp_path_factory):
    home = tmp_path_factory.mktemp("other") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KITS_HOME", str(home))
        ingest(IngestParameters(source=str(phantoms), dataset="ours", cases="0-3"))
        split(SplitParameters())
    return home


@pytest.fixture
def other(_other, home):
    """Another home, the test's own, with four cases and a split, and no model."""
    shutil.copytree(_other, home)
    return home


@pytest.fixture
def paints(painted, monkeypatch):
    """Whatever is loaded, paints: an untrained network finds no kidney. The files are checked as ever."""

    def load(path, sha256, recipe):
        assert sha256_of(path) == sha256
        return Segmenter(painted(1.0), recipe)

    monkeypatch.setattr("tasks.models._load", load)


def _changed(file, target, change):
    """A copy of a model file in which `change` was made to its parts, by name."""
    with zipfile.ZipFile(file) as packed:
        parts = {name: packed.read(name) for name in packed.namelist()}
    change(parts)
    with zipfile.ZipFile(target, "w") as packed:
        for name, content in parts.items():
            packed.writestr(name, content)
    return target


def _with_the_hashes(parts):
    """The parts with a manifest that fits them, as a forger would write it."""
    import hashlib

    manifest = json.loads(parts["manifest.json"])
    manifest["parts"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in parts.items()
        if name != "manifest.json"
    }
    parts["manifest.json"] = json.dumps(manifest).encode()


def test_a_file_tells_its_lineage_and_names_no_case_and_no_path(files, networks_home, phantoms):
    with zipfile.ZipFile(files / "3.kits.zip") as packed:
        texts = {name: packed.read(name).decode() for name in packed.namelist() if not name.endswith(".keras")}
    record = json.loads(texts["model_2/model.json"])
    assert (record["origin"]["dataset"], record["origin"]["train_cases"], record["origin"]["validation_cases"]) == (
        "phantoms", 6, 2,
    )  # fmt: skip
    assert [row["score"] for row in record["history"]] == [0.5]
    told = "".join(texts.values())
    assert "case_0" not in told
    assert str(phantoms) not in told
    assert str(networks_home) not in told
    assert json.loads(texts["model_1/training_range.json"])


@pytest.mark.usefixtures("other", "paints")
def test_a_cascade_is_imported_with_its_lineage_and_predicts(files, scan, rows, kits, tmp_path):
    told = kits("import", str(files / "3.kits.zip"))
    assert "model 2 (run 2), model 1 finds the kidneys for it; imported from a file" in told
    assert rows("SELECT id, is_champion FROM model ORDER BY id") == [(1, 0), (2, 0)]
    assert rows(
        "SELECT run_id, dataset, split_id, imported_from, epochs_done, status FROM run_overview ORDER BY 1"
    ) == [
        (1, None, None, "phantoms", 1, "completed"),
        (2, None, None, "phantoms", 1, "completed"),
    ]
    assert ("model", 1, "recipe", 2, "locator") in rows(
        "SELECT source_kind, source_number, target_kind, target_number, role FROM lineage_edge"
    )
    assert rows("SELECT COUNT(*) FROM lineage_node WHERE kind IN ('model', 'training_run')") == [(4,)]
    status = json.loads(kits("status", "--json"))
    assert [(row["model"], row["imported_from"]) for row in status["runs"]] == [(1, "phantoms"), (2, "phantoms")]
    asked = PredictParameters(scans=[str(scan)], out=str(tmp_path / "plans"), model="2")
    (done,) = predict(asked).planned
    plan = json.loads((done.folder / PLAN).read_text(encoding="utf-8"))
    assert plan["lineage"]["kidneys found by"] == "model 1"
    assert "trained there on 6 and validated on 2 cases of phantoms (a folder)" in plan["lineage"]["trained on"]
    with pytest.raises(KitsError, match="expected a champion, got none"):
        predict(PredictParameters(scans=[str(scan)], out=str(tmp_path / "others")))
    kits("promote", "2")
    assert rows("SELECT is_champion FROM model ORDER BY id") == [(0,), (1,)]


@pytest.mark.usefixtures("other", "paints")
def test_it_is_evaluated_on_a_split_of_this_home_and_the_report_says_what_is_not_known(files, rows, kits):
    import_model(files / "1.kits.zip")
    with pytest.raises(KitsError, match="model 1: expected a split of this home"):
        evaluate(EvaluateParameters(model="1", workers=1))
    with pytest.raises(KitsError, match="expected split 9 in the catalog, got none"):
        evaluate(EvaluateParameters(model="1", split=9, workers=1))
    done = evaluate(EvaluateParameters(model="1", split=1, workers=1))
    report = done.report.read_text(encoding="utf-8")
    assert "Whether scored cases were among those that it has learnt is not known" in report
    assert "imported from a file" in report
    assert rows("SELECT model_id, dataset, split_id, cases FROM leaderboard") == [(1, "ours", 1, 1)]
    assert rows("SELECT COUNT(*), MIN(split_hash) IS NOT NULL FROM lineage") == [(1, 1)]
    done.report.unlink()
    assert str(done.report) in kits("report", "1")
    assert done.report.is_file()


def test_its_clean_up_rules_and_what_was_forgotten_come_with_it(networks_home, other, rows, tmp_path, monkeypatch):
    there = tmp_path / "there"
    shutil.copytree(networks_home, there)
    monkeypatch.setenv("KITS_HOME", str(there))
    with catalog_session(Settings()) as session:
        from db.models import RunStatus, Subset
        from db.queries.evaluation import end_evaluation, evaluation_of

        row = evaluation_of(session, model_id=1, split_id=1, subset=Subset.VALIDATION)
        row.cleanup = CHOSEN
        session.get_one(TrainingRun, 1).forgotten_cases = 2
        end_evaluation(row, RunStatus.COMPLETED, None)
    export_model("1", tmp_path / "1.kits.zip", print)
    monkeypatch.setenv("KITS_HOME", str(other))
    import_model(tmp_path / "1.kits.zip")
    with catalog_session(Settings()) as session:
        from db.queries.evaluation import validated_cleanup

        assert validated_cleanup(session, 1, flips=False) == CHOSEN
        assert validated_cleanup(session, 1, flips=True) is None
        assert session.get_one(TrainingRun, 1).forgotten_cases == 2
        assert session.get_one(TrainingRun, 1).read_origin().scores[0]["evaluation_id"] == 1


def test_an_imported_model_can_be_exported_again_and_stays_one_of_its_home(files, other, tmp_path, monkeypatch):
    import_model(files / "3.kits.zip")
    export_model("2", tmp_path / "again.kits.zip", print)
    third = tmp_path / "third"
    monkeypatch.setenv("KITS_HOME", str(third))
    done = import_model(tmp_path / "again.kits.zip")
    assert "model 3 of another home, trained there on 6 and validated on 2 cases of phantoms" in done.origin


def test_the_same_model_is_refused_and_one_that_shares_its_locator_is_not(files, other, rows):
    import_model(files / "1.kits.zip")
    with pytest.raises(KitsError, match="expected a model that is not here yet, got model 1, the same to the last bit"):
        import_model(files / "1.kits.zip")
    assert import_model(files / "3.kits.zip").locator_id == 1
    assert rows("SELECT COUNT(*) FROM model") == [(2,)]


def test_nobody_trains_an_imported_run_on(files, other):
    import_model(files / "1.kits.zip")
    with catalog_session(Settings()) as session, pytest.raises(KitsError, match="run 1: expected a run of this home"):
        training.find_run(session, 1)


def _one_byte(parts):
    network = bytearray(parts["model_1/network.keras"])
    network[len(network) // 2] ^= 1
    parts["model_1/network.keras"] = bytes(network)


def _newer(parts):
    parts["manifest.json"] = json.dumps({**json.loads(parts["manifest.json"]), "version": 2}).encode()


def _newer_settings(parts):
    parts["model_1/recipe.json"] = json.dumps({**json.loads(parts["model_1/recipe.json"]), "schema": 99}).encode()
    _with_the_hashes(parts)


def _newer_code(parts):
    parts["model_1/recipe.json"] = json.dumps({**json.loads(parts["model_1/recipe.json"]), "code": 99}).encode()
    _with_the_hashes(parts)


def _no_locator(parts):
    for name in [name for name in parts if name.startswith("model_1/")]:
        parts[name.replace("model_1/", "model_3/")] = parts.pop(name)


def _outside(parts):
    parts["model_1/../../escaped"] = b"x"
    _with_the_hashes(parts)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (_one_byte, "got another model_1/network.keras than its manifest says"),
        (lambda parts: parts.pop("model_1/config.json"), "got other parts than its manifest lists"),
        (lambda parts: parts.pop("manifest.json"), "got another zip file, or one that is cut off"),
        (_newer, "expected a model file of version 1 at most, got version 2"),
        (_newer_settings, "Recipe: expected settings of version 1 at most"),
        (_newer_code, "got one of a newer release"),
        (_no_locator, "other parts than its manifest lists"),
        (_outside, "other parts than its manifest lists"),
    ],
)
def test_what_is_not_whole_or_too_new_is_refused_and_changes_nothing(files, other, tmp_path, change, match):
    with pytest.raises(KitsError, match=match):
        import_model(_changed(files / "3.kits.zip", tmp_path / "other.kits.zip", change))
    with catalog_session(Settings()) as session:
        assert session.scalars(select(TrainingRun)).all() == []
    assert list((other / "runs").glob("*")) == []


def test_a_file_that_is_cut_off_or_is_none_is_refused(files, other, tmp_path):
    cut = tmp_path / "cut.kits.zip"
    cut.write_bytes((files / "1.kits.zip").read_bytes()[:-2000])
    with pytest.raises(KitsError, match="or one that is cut off"):
        import_model(cut)
    with pytest.raises(KitsError, match="got no file"):
        import_model(tmp_path / "none.kits.zip")


def test_a_network_with_code_of_its_own_is_refused(files, other, rows, tmp_path):
    foreign = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    foreign.save(tmp_path / "foreign.keras")

    def change(parts):
        parts["model_1/network.keras"] = (tmp_path / "foreign.keras").read_bytes()
        record = json.loads(parts["model_1/model.json"])
        record["sha256"] = sha256_of(tmp_path / "foreign.keras")
        parts["model_1/model.json"] = json.dumps(record).encode()
        _with_the_hashes(parts)

    with pytest.raises(KitsError, match="got one that cannot be loaded safely"):
        import_model(_changed(files / "1.kits.zip", tmp_path / "evil.kits.zip", change))
    assert rows("SELECT COUNT(*) FROM model") == [(0,)]
    assert list((other / "runs").glob("*")) == []


@pytest.mark.parametrize("moment", ["_check_network", "_add"])
def test_killed_at_any_moment_it_leaves_nothing_half(files, other, rows, moment):
    code = (
        "import os, sys; from pathlib import Path; import tasks.import_model as m\n"
        "m._check_network = lambda *a: None\n"
        f"m.{moment} = lambda *a: os.kill(os.getpid(), 9)\n"
        "m.import_model(Path(sys.argv[1]))"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(files / "1.kits.zip")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert rows("SELECT COUNT(*) FROM training_run") == [(0,)]
    (left,) = (other / "runs").glob("imported_*")
    os.utime(left, (time.time() - 7200,) * 2)
    assert [leftover.path for leftover in find_leftovers()] == [left]
    done = import_model(files / "1.kits.zip")
    assert rows("SELECT id FROM model") == [(done.model_id,)]
    find_leftovers(remove=True)
    (kept,) = (other / "runs").glob("imported_*")
    assert sha256_of(kept / "network.keras") == rows("SELECT sha256 FROM model")[0][0]


def test_the_command_writes_over_no_file(networks_home, monkeypatch, kits, tmp_path):
    monkeypatch.setenv("KITS_HOME", str(networks_home))
    out = tmp_path / "model.kits.zip"
    out.write_text("mine")
    assert "expected no file there yet" in kits("export", "model", "1", "--out", str(out), status=1)
    assert out.read_text() == "mine"
    out.unlink()
    assert "model 3 and model 1" in kits("export", "model", "3", "--out", str(out))
