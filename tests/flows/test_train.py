"""Trainings as flows and as processes: killed, cancelled, in cascades and folds, and what the catalog says then."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from prefect.runtime import flow_run
from sqlalchemy import select, text

from db.at_work import run_folder
from db.engine import CatalogUnreachableError, catalog_session, open_catalog
from db.models import PreparedCase, RunStatus, TrainingRun
from db.queries import training as queries
from db.queries.ingest import record_problem
from db.settings import Settings
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.parameters import (
    EvaluateParameters,
    IngestParameters,
    PrepareParameters,
    PromoteParameters,
    SplitParameters,
    TrainParameters,
)
from flows.prepare import prepare
from flows.split import split
from flows.train import promote, train
from kits_core.cpu import this_cpu
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.network import environment, training, validation
from kits_core.network.backend import cpu_kernels
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe
from tasks.progress import listening
from tasks.train import train_network

pytestmark = pytest.mark.slow

RECIPE = Recipe(shape=32)
KIDNEYS = Recipe(frame="kidneys", shape=32)
CONFIG = TrainingConfig(epochs=1, batch_size=2, architecture="plain_unet", filters=4, learning_rate=3e-3)
MAIN = "from deployments.cli import main\nmain()"
SETTINGS = ("--shape", "32", "--batch-size", "2", "--filters", "4", "--learning-rate", "3e-3")


@pytest.fixture(scope="module")
def ready(phantoms, prefect_api, with_prefects_tables, tmp_path_factory):
    """A home with phantoms ingested, prepared and split, with two folds. Not to be changed."""
    home = with_prefects_tables(tmp_path_factory.mktemp("ready"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KITS_HOME", str(home))
        ingest(IngestParameters(source=str(phantoms), dataset="phantoms"))
        prepare(PrepareParameters(recipe=RECIPE))
        split(SplitParameters(folds=2))
    return home


@pytest.fixture(scope="module")
def once(ready, tmp_path_factory):
    """A copy of it with a run that is trained, and what the flow returned. Not to be changed."""
    home = tmp_path_factory.mktemp("once")
    shutil.copytree(ready, home, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KITS_HOME", str(home))
        return home, train(TrainParameters(recipe=RECIPE, config=CONFIG))


@pytest.fixture
def trained(once, home):
    """The model of a run that is trained, in a copy of its home, the test's own."""
    shutil.copytree(once[0], home, dirs_exist_ok=True)
    return once[1][0]


@pytest.fixture
def begun(ready, home):
    """A copy of it, the test's own home."""
    shutil.copytree(ready, home, dirs_exist_ok=True)
    return home


def _start(*words, home, server=None):
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    environment |= {"KITS_HOME": str(home)} | ({"PREFECT_API_URL": server} if server else {})
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "train", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _wait_for(condition, process):
    deadline = time.monotonic() + 400
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "what the test waits for did not come"
        time.sleep(0.002)


def test_a_case_that_the_recipe_refuses_is_left_out_and_said(begun, kits, rows):
    """One mask without kidneys must not keep all others from being learnt."""
    ((case_id, name),) = rows("SELECT c.id, c.name FROM \"case\" c JOIN split_member m ON m.case_id = c.id "
                              "WHERE m.subset = 'train' ORDER BY 1 LIMIT 1")  # fmt: skip
    with catalog_session(Settings()) as session:
        (prepared,) = session.scalars(select(PreparedCase).where(PreparedCase.case_id == case_id))
        session.delete(prepared)
    assert f"got none or old ones of 1 ({name})" in kits("train", *SETTINGS, "--epochs", "1", status=1)
    with catalog_session(Settings()) as session:
        record_problem(session, case_id, "prepare", f"{name}: expected kidneys in its reference, got none", None)
    (trained,) = train(TrainParameters(recipe=RECIPE, config=CONFIG))
    seen = rows(f'SELECT c.name FROM trained_case t JOIN "case" c ON c.id = t.case_id WHERE run_id = {trained.run_id}')
    assert len(seen) == 7
    assert (name,) not in seen
    card = (begun / "runs" / f"run_{trained.run_id:05d}" / "README.md").read_text(encoding="utf-8")
    assert "5 cases for training" in card
    with catalog_session(Settings()) as session:
        for (other,) in rows("SELECT case_id FROM split_member WHERE subset = 'validation'"):
            session.delete(session.scalars(select(PreparedCase).where(PreparedCase.case_id == other)).one())
            record_problem(session, other, "prepare", "refused", None)
    config = CONFIG.model_copy(update={"seed": 5})
    with pytest.raises(KitsError, match="expected a case for validation that the recipe takes, got none of 2"):
        train(TrainParameters(recipe=RECIPE, config=config))


CURVE = "SELECT epoch, name, value FROM epoch_metric WHERE name NOT LIKE '%seconds' ORDER BY 1, 2"


def test_killed_at_any_instant_it_goes_on_to_the_same_curve(ready, begun, rows, tmp_path):
    unbroken = tmp_path / "unbroken"
    shutil.copytree(ready, unbroken)
    epochs = ("--epochs", "3")
    whole = _start(*SETTINGS, *epochs, home=unbroken)
    state = run_folder(Settings(), 1) / "state"
    # Within the first epoch; while a checkpoint is being written.
    conditions = (
        lambda: (begun / "runs").exists() and list((begun / "runs").glob("*/tensorboard/*")),
        lambda: list(state.glob("*.partial*")),
    )
    for condition in conditions:
        process = _start(*SETTINGS, *epochs, home=begun)
        _wait_for(condition, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    last = _start("--resume", "1", home=begun)
    for process in (whole, last):
        output, _ = process.communicate(timeout=180)
        assert process.returncode == 0, output[-2000:]
    assert "steps to go at" in output or "model 1" in output
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KITS_HOME", str(unbroken))
        with open_catalog(Settings()).connect() as connection:
            expected = [tuple(row) for row in connection.execute(text(CURVE))]
    assert len(expected) == 3 * 5
    assert rows(CURVE) == expected
    assert rows("SELECT status, error FROM training_run") == [("completed", None)]
    ((path, sha256),) = rows("SELECT path, sha256 FROM model")
    assert sha256_of(begun / path) == sha256
    assert len(list((begun / path).parent.glob("*.keras"))) == 1
    assert not list((begun / "runs").rglob("*.partial*"))


def test_cancelled_from_the_dashboard_it_stops_soon_and_the_catalog_says_so(begun, prefect_api, api, rows):
    process = _start(*SETTINGS, "--epochs", "5000", "--seed", "77", home=begun, server=prefect_api)
    _wait_for(lambda: rows("SELECT COUNT(*) FROM epoch_metric")[0][0] > 0, process)
    ((run_id,),) = rows("SELECT flow_run_id FROM training_run")
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    api.post(f"flow_runs/{run_id}/set_state", json=cancelling).raise_for_status()
    start = time.monotonic()
    output, _ = process.communicate(timeout=60)
    assert time.monotonic() - start < 25  # a step, the 5 s between two looks, and the end of the process
    assert process.returncode == 1
    assert "cancelled from the dashboard; kits train --resume 1 goes on" in " ".join(output.split())
    ((status, error),) = rows("SELECT status, error FROM training_run")
    assert (status, "cancelled from the dashboard" in error) == ("cancelled", True)
    state = api.get(f"flow_runs/{run_id}").raise_for_status().json()["state"]
    assert state["type"] == "CANCELLED"


def test_cancelled_while_it_validates_it_stops_before_the_epoch_counts(begun, api, rows, monkeypatch):
    def run_epoch_and_cancel(*given):
        values = run_epoch(*given)
        cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        api.post(f"flow_runs/{flow_run.id}/set_state", json=cancelling).raise_for_status()
        return values

    run_epoch = training._Training._run_epoch
    monkeypatch.setattr(training._Training, "_run_epoch", run_epoch_and_cancel)

    def read_slowly(*given):
        time.sleep(3)  # the server is asked beside the training
        return read(*given)

    read = validation.Validator._read
    monkeypatch.setattr(validation.Validator, "_read", read_slowly)
    monkeypatch.setattr("tasks.watch._LOOK_EVERY_S", 0)
    assert train(TrainParameters(recipe=RECIPE, config=CONFIG), return_state=True).is_cancelled()
    assert rows("SELECT status FROM training_run") == [("cancelled",)]
    assert rows("SELECT COUNT(*) FROM epoch_metric") == [(0,)]


def test_a_server_that_never_answers_costs_a_training_nothing(begun, rows, monkeypatch):
    hanging = []

    def hang(*_, **__):
        hanging.append(threading.current_thread().name)
        threading.Event().wait(120)

    for name in ("create_progress_artifact", "create_markdown_artifact", "check_cancelled"):
        monkeypatch.setattr(f"tasks.watch.{name}", hang)
    monkeypatch.setattr("tasks.watch._LOOK_EVERY_S", 0)
    monkeypatch.setattr("tasks.watch._DASHBOARD_S", 0.5)
    start = time.monotonic()
    (model,) = train(TrainParameters(recipe=RECIPE, config=CONFIG))
    assert time.monotonic() - start < 60
    assert hanging == ["dashboard"]
    assert rows("SELECT status FROM training_run") == [("completed",)]
    assert rows("SELECT score FROM model") == [(model.score,)]


def test_epochs_that_the_catalog_could_not_take_are_written_when_it_is_back(begun, rows, monkeypatch):
    def away(*given):
        if len(tries) < 2:
            tries.append(given[2])
            raise CatalogUnreachableError("the catalog is away")
        return record(*given)

    tries, record = [], queries.record_epoch
    monkeypatch.setattr("tasks.watch.queries.record_epoch", away)
    monkeypatch.setattr("tasks.beside._RETRY_S", 0.2)
    train(TrainParameters(recipe=RECIPE, config=CONFIG.model_copy(update={"epochs": 3})))
    assert tries == [1, 1]
    assert rows("SELECT DISTINCT epoch FROM epoch_metric ORDER BY epoch") == [(1,), (2,), (3,)]


def test_a_call_that_goes_on_writes_the_epochs_that_an_earlier_one_could_not(begun, rows, monkeypatch):
    def away(*_):
        raise CatalogUnreachableError("the catalog is away")

    monkeypatch.setattr("tasks.watch._RECORDS_S", 0.5)
    monkeypatch.setattr("tasks.beside._RETRY_S", 0.1)
    monkeypatch.setattr(train_network, "retries", 0)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.watch.queries.record_epoch", away)
        with pytest.raises(CatalogUnreachableError):
            train(TrainParameters(recipe=RECIPE, config=CONFIG))
    assert rows("SELECT COUNT(*) FROM epoch_metric") == [(0,)]
    assert rows("SELECT status, error FROM training_run") == [("failed", "the catalog is away")]
    train(TrainParameters(recipe=RECIPE, config=CONFIG))
    assert rows("SELECT DISTINCT epoch FROM epoch_metric") == [(1,)]
    assert rows("SELECT status FROM training_run") == [("completed",)]


def test_a_run_that_goes_on_on_another_cpu_says_so(begun, rows, monkeypatch):
    def end(*_, **__):
        raise KitsError("ended before its first epoch")

    original = training.train
    monkeypatch.setattr(training, "train", end)
    with pytest.raises(KitsError, match="ended before"):
        train(TrainParameters(recipe=RECIPE, config=CONFIG))
    monkeypatch.setattr(training, "train", original)
    monkeypatch.setattr(environment, "this_cpu", lambda: "a Xeon of 2014")
    said = []
    monkeypatch.setattr("tasks.watch.say", said.append)
    train(TrainParameters(resume=1))
    ((found,),) = rows("SELECT environment FROM training_run")
    recorded = json.loads(found)
    assert recorded["cpu"] == f"{this_cpu()}, then a Xeon of 2014"
    assert recorded["cpu_kernels"] == cpu_kernels()
    (note,) = [text for text in said if "not, bit for bit" in text]
    assert note.startswith(f"run 1: its cpu was {this_cpu()} and is now a Xeon of 2014;")


def test_a_try_that_failed_and_the_next_one_are_seen_in_the_catalog(begun, rows, monkeypatch):
    def fail_once(*words, **named):
        seen.append(rows("SELECT status, error, ended_at FROM training_run"))
        if len(seen) == 1:
            raise RuntimeError("a passing fault of the driver")
        return original(*words, **named)

    seen, original = [], training.train
    monkeypatch.setattr(training, "train", fail_once)
    monkeypatch.setattr(train_network, "retry_delay_seconds", 0)
    train(TrainParameters(recipe=RECIPE, config=CONFIG))
    assert seen == [[("running", None, None)]] * 2
    assert rows("SELECT status, error FROM training_run") == [("completed", None)]


def test_extended_a_run_goes_on_in_another_one_that_says_so(trained, home, rows):
    longer = TrainParameters(extend=trained.run_id, config=TrainingConfig(epochs=2))
    (extended,) = train(longer)
    assert extended.run_id != trained.run_id
    curve = "SELECT epoch, value FROM epoch_metric WHERE run_id = {} AND name = 'loss' ORDER BY 1"
    first, both = (rows(curve.format(run)) for run in (trained.run_id, extended.run_id))
    assert both[:1] == first
    assert [epoch for epoch, _ in both] == [1, 2]
    ((environment, config),) = rows(f"SELECT environment, config FROM training_run WHERE id = {extended.run_id}")
    assert json.loads(environment)["extends"] == f"run {trained.run_id}"
    assert TrainingConfig.from_stored(json.loads(config)) == CONFIG.model_copy(update={"epochs": 2})
    assert train(longer) == [extended]
    with pytest.raises(KitsError, match="run 1: expected more than its 1 epochs to extend it, got 1"):
        train(TrainParameters(extend=trained.run_id, config=TrainingConfig(epochs=1)))


def test_a_run_whose_step_size_falls_from_the_start_is_not_extended(begun, rows):
    falling = CONFIG.model_copy(update={"final_learning_rate": 1e-3})
    train(TrainParameters(recipe=RECIPE, config=falling))
    with pytest.raises(KitsError, match="expected epochs with a constant step size to go on from, got one that fell"):
        train(TrainParameters(extend=1, config=TrainingConfig(epochs=5)))


def test_it_begins_with_the_weights_of_a_model_whose_network_and_recipe_it_takes(trained, home, rows):
    tune = TrainParameters(from_model="latest", config=TrainingConfig(epochs=1, batch_size=2, learning_rate=1e-9))
    (tuned,) = train(tune)
    assert tuned.run_id != trained.run_id
    assert tuned.score == pytest.approx(trained.score, abs=0.05)
    config, recipe = rows(f"SELECT config, recipe_id FROM training_run WHERE id = {tuned.run_id}")[0]
    wanted = tune.config.model_copy(
        update={"architecture": CONFIG.architecture, "filters": CONFIG.filters, "begins_with": trained.sha256}
    )
    assert TrainingConfig.from_stored(json.loads(config)) == wanted
    assert rows(f"SELECT recipe_id FROM training_run WHERE id = {trained.run_id}") == [(recipe,)]
    assert train(tune.model_copy(update={"from_model": str(trained.model_id)})) == [tuned]
    card = (run_folder(Settings(), tuned.run_id) / "README.md").read_text(encoding="utf-8")
    assert f"beginning with the weights of the model of SHA-256 {trained.sha256}" in card


def test_what_the_model_has_learnt_is_not_held_out(trained, home, rows):
    (train_case,) = rows(
        "SELECT MIN(c.name) FROM split_member m JOIN \"case\" c ON c.id = m.case_id WHERE m.subset = 'train' "
        "AND m.split_id = 1"
    )[0]
    own = home / "own.csv"
    names = [name for (name,) in rows('SELECT name FROM "case" ORDER BY 1')]
    lines = [f"{name},{'validation' if name == train_case else 'train'}" for name in names]
    own.write_text("\n".join(["case,subset", *lines]), encoding="utf-8")
    assert split(SplitParameters(own=str(own))).split_id == 2
    refused = f"model 1: expected to hold out cases that it has not learnt, got 1 of 1 that it has \\({train_case}\\)"
    with pytest.raises(KitsError, match=refused):
        train(TrainParameters(from_model="1", config=TrainingConfig(epochs=1)))
    assert rows("SELECT COUNT(*) FROM training_run") == [(1,)]


def test_of_an_imported_model_it_is_said_that_nothing_is_known(trained, rows, monkeypatch, caplog):
    origin = {"dataset": "theirs", "source": "far away", "train_cases": 4, "validation_cases": 1, "split_seed": 1}
    origin |= {"split_hash": "s", "run_id": 7, "model_id": 7, "software": "kits", "exported_at": "2026"}
    with catalog_session(Settings()) as session:
        session.get_one(TrainingRun, trained.run_id).imported = origin
    train(TrainParameters(from_model="1", config=TrainingConfig(epochs=1, batch_size=2)))
    assert "run 1 was imported: which cases it has learnt is not known here" in caplog.text


def test_every_fold_begins_with_the_model_that_was_the_latest_at_first(trained, rows, monkeypatch):
    monkeypatch.setattr("tasks.train.check_held_out", lambda *_: None)  # it has learnt cases of both folds
    train(TrainParameters(from_model="latest", all_folds=True, config=TrainingConfig(epochs=1, batch_size=2)))
    configs = [json.loads(config) for (config,) in rows("SELECT config FROM training_run WHERE id > 1")]
    assert [config["begins_with"] for config in configs] == [trained.sha256] * 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"from_model": "1", "cascade": True}, "without resume, extend or cascade"),
        ({"from_model": "1", "resume": 1}, "without resume, extend or cascade"),
        ({"config": TrainingConfig(begins_with="ab" * 32)}, "expected the model to begin with in from_model"),
    ],
)
def test_ways_to_begin_that_do_not_go_together_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        TrainParameters(**settings)


def test_a_second_call_leaves_the_one_that_trains_as_it_is(trained, rows):
    with catalog_session(Settings()) as session:
        session.get_one(TrainingRun, trained.run_id).status = RunStatus.RUNNING
    before = rows("SELECT * FROM training_run")
    with (
        training.alone_in(run_folder(Settings(), trained.run_id)),
        pytest.raises(KitsError, match="expected no one else to train it"),
    ):
        train(TrainParameters(recipe=RECIPE, config=CONFIG))
    assert rows("SELECT * FROM training_run") == before


def test_the_same_settings_on_other_files_are_another_run_and_none_goes_on_with_them(trained, home, rows):
    with catalog_session(Settings()) as session:
        session.get_one(TrainingRun, trained.run_id).status = RunStatus.FAILED
        prepared = session.scalars(select(PreparedCase)).first()
        image = home / prepared.image_path
        with image.open("r+b") as file:
            file.seek(-1, os.SEEK_END)
            last = file.read(1)
            file.seek(-1, os.SEEK_END)
            file.write(bytes([last[0] ^ 1]))
        prepared.image_sha256 = sha256_of(image)
    with pytest.raises(KitsError, match="run 1: expected the prepared files that it was begun with, got others"):
        train(TrainParameters(resume=trained.run_id))
    (other,) = train(TrainParameters(recipe=RECIPE, config=CONFIG))
    assert (other.run_id, other.model_id) == (2, 2)
    assert rows("SELECT COUNT(DISTINCT data_hash) FROM training_run") == [(2,)]
    differing = (
        "SELECT COUNT(*) FROM (SELECT case_id FROM trained_case GROUP BY case_id, image_sha256 HAVING COUNT(*) = 1)"
    )
    assert rows(differing) == [(2,)]
    assert other.rival_id == (1 if other.score > trained.score else None)


def test_a_checkpoint_that_has_gone_comes_back_and_another_in_its_place_is_refused(trained, home, rows):
    asked = TrainParameters(recipe=RECIPE, config=CONFIG)
    ((path,),) = rows("SELECT path FROM model")
    (home / path).unlink()
    assert train(asked) == [trained]
    assert sha256_of(home / path) == trained.sha256
    (home / path).unlink()
    (home / path).write_bytes(b"another")
    with pytest.raises(KitsError, match="got another file; put the right one back, or delete this one"):
        train(asked)


def test_a_network_of_the_kidneys_with_and_without_a_locator(begun, rows, monkeypatch):
    prepare(PrepareParameters(recipe=KIDNEYS))
    (alone,) = train(TrainParameters(recipe=KIDNEYS, config=CONFIG))
    with pytest.raises(KitsError, match="run kits train --frame volume --split 1 first"):
        evaluate(EvaluateParameters(model=str(alone.model_id)))

    def prepare_while_someone_splits_anew(parameters):
        split(SplitParameters(seed=99))
        return prepare(parameters)

    with monkeypatch.context() as patch:
        patch.setattr("flows.train.prepare", prepare_while_someone_splits_anew)
        cascade = TrainParameters(recipe=RECIPE, config=CONFIG, split=1, cascade=True, evaluate=True)
        whole, around = train(cascade)
    assert rows("SELECT DISTINCT split_id FROM training_run") == [(1,)]
    frames = "SELECT json_extract(r.settings, '$.frame'), json_extract(r.settings, '$.locator') FROM training_run t "
    assert rows(f"{frames} JOIN recipe r ON r.id = t.recipe_id ORDER BY t.id") == [
        ("kidneys", None),
        ("volume", None),
        ("kidneys", whole.sha256),
    ]
    located = "SELECT COUNT(*), COUNT(tumor_kept) FROM prepared_case p JOIN recipe r ON r.id = p.recipe_id"
    assert rows(f"{located} WHERE json_extract(r.settings, '$.locator') IS NOT NULL") == [(8, 8)]
    seen = "SELECT model_id, locator_id FROM evaluation WHERE status = 'completed' ORDER BY id"
    assert rows(seen) == [(whole.model_id, None), (around.model_id, whole.model_id)]

    done = evaluate(EvaluateParameters(model=str(alone.model_id)))
    assert rows(f"SELECT locator_id FROM evaluation WHERE id = {done.evaluation_id}") == [(whole.model_id,)]
    # Two steps teach no network what a tumour is.
    assert {model.tumor_dice for model in (alone, whole, around)} == {0}
    assert alone.standing.endswith("yet and cannot be the champion: train longer")
    assert rows("SELECT id FROM model WHERE is_champion") == []
    with pytest.raises(KitsError, match="expected a champion to find kidneys and tumours"):
        promote(PromoteParameters(model=str(around.model_id)))
    best = around.run_id, around.epoch
    rows_of = "UPDATE epoch_metric SET value = 0.4 WHERE run_id = {} AND epoch = {} AND name LIKE '%_dice'"
    with catalog_session(Settings()) as session:
        session.execute(text(rows_of.format(*best)))
    assert promote(PromoteParameters(model=str(around.model_id))) == around.model_id
    assert rows("SELECT id FROM model WHERE is_champion") == [(around.model_id,)]


class _Heard:
    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    def update(self, stage, done, total, note):
        pass


def test_every_fold_is_held_out_once(begun, kits, rows, artifact):
    first, second = train(TrainParameters(recipe=RECIPE, config=CONFIG, all_folds=True))
    page = artifact("folds")["data"]
    mean = (first.kidney_dice + second.kidney_dice) / 2
    assert f"| 1 | {second.run_id} | {second.model_id} | {second.kidney_dice:.3f} |" in page
    assert f"| mean |  |  | {mean:.3f} (SD " in page
    runs = json.loads(kits("status", "--json"))["runs"]
    assert [row["differs in"] for row in runs] == ["fold 0", "fold 1"]
    assert rows("SELECT json_extract(config, '$.fold') FROM training_run ORDER BY id") == [(0,), (1,)]
    done = evaluate(EvaluateParameters(model=str(second.model_id)))
    held_out = 'SELECT c.name FROM split_member m JOIN "case" c ON c.id = m.case_id WHERE m.fold = 1 ORDER BY 1'
    scored = f"SELECT DISTINCT case_name FROM case_metric_wide WHERE evaluation_id = {done.evaluation_id} ORDER BY 1"
    assert rows(scored) == rows(held_out)
    assert len(rows(held_out)) == 4
    with pytest.raises(KitsError, match="expected fold 2, got 2 folds"):
        train(TrainParameters(recipe=RECIPE, config=CONFIG.model_copy(update={"fold": 2})))
    split(SplitParameters(seed=99))
    heard = _Heard()
    with listening(heard), pytest.raises(KitsError, match="expected folds, got none"):
        train(TrainParameters(config=CONFIG, all_folds=True))
    assert heard.said == ["takes the cases of phantoms as they were prepared by volume 32"]


def test_what_cannot_be_trained_on_is_refused_with_the_reason(begun, rows):
    with pytest.raises(ValueError, match="a cascade begins with the whole scan"):
        TrainParameters(recipe=KIDNEYS, cascade=True)
    with pytest.raises(KitsError, match="expected training run 9 in the catalog, got none"):
        train(TrainParameters(resume=9))
    with pytest.raises(KitsError, match="expected prepared files of all 8 cases of the split"):
        train(TrainParameters(recipe=RECIPE.model_copy(update={"cyst_to": "tumor"}), config=CONFIG))
    ((path,),) = rows("SELECT label_path FROM prepared_case LIMIT 1")
    with (begun / path).open("r+b") as file:
        file.seek(400)
        file.write(b"\x01")
    with pytest.raises(KitsError, match="as it was prepared, got another or no file"):
        train(TrainParameters(recipe=RECIPE, config=CONFIG))
    ((status, error),) = rows("SELECT status, error FROM training_run")
    assert (status, "as it was prepared" in error) == ("failed", True)


def test_a_training_is_started_by_a_form_as_by_all_settings(trained):
    form = {"prepared": "1 · volume 32", "epochs": CONFIG.epochs, "more": CONFIG.model_dump(exclude={"epochs", "fold"})}
    assert train(TrainParameters.model_validate(form)) == [trained]
    assert train(TrainParameters(config=CONFIG)) == [trained]  # the only recipe that was prepared
    with pytest.raises(KitsError, match=r"recipe 5: expected one that cases were prepared by \(1\), got none"):
        train(TrainParameters(prepared=5, config=CONFIG))
    prepare(PrepareParameters(recipe=KIDNEYS))
    with pytest.raises(ValueError, match="a cascade begins with the whole scan"):
        train(TrainParameters(prepared=2, cascade=True, config=CONFIG))
