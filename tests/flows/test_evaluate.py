"""Evaluations as flows: what counts as zero, what is cleaned, and what a second run does."""

import json
import os
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from sqlalchemy.orm import Session

from db.engine import open_catalog
from db.queries.evaluation import what_is_stale
from db.settings import Settings
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.parameters import EvaluateParameters, IngestParameters, PrepareParameters, SplitParameters, TrainParameters
from flows.prepare import prepare
from flows.split import split
from flows.train import train
from kits_core.errors import KitsError
from kits_core.inference.cleanup import Choice
from kits_core.metrics.known import BY_NAME
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe

pytestmark = pytest.mark.slow

RECIPE = Recipe(shape=32)
# It finds nothing, as at its start: all that a network which learnt little takes for tumours is measured for long.
CONFIG = TrainingConfig(epochs=1, batch_size=2, architecture="plain_unet", filters=4, learning_rate=1e-6)
KITS = [sys.executable, "-c", "from deployments.cli import main; main()"]


@pytest.fixture(scope="module")
def trained(phantoms, prefect_api, tmp_path_factory):
    """A home with a model that learnt nothing. Not to be changed."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KITS_HOME", str(home))
        ingest(IngestParameters(source=str(phantoms), dataset="phantoms"))
        prepare(PrepareParameters(recipe=RECIPE))
        split(SplitParameters())
        train(TrainParameters(recipe=RECIPE, config=CONFIG))
    return home


@pytest.fixture
def begun(trained, home):
    """A copy of it, the test's own home."""
    shutil.copytree(trained, home, dirs_exist_ok=True)
    return home


def _held_out(rows):
    return [
        name
        for (name,) in rows(
            'SELECT c.name FROM split_member m JOIN "case" c ON c.id = m.case_id '
            "WHERE m.subset = 'validation' ORDER BY 1"
        )
    ]


def _constant(path):
    """A scan that every recipe refuses, in place of the one that was ingested; gives back what was there."""
    before = path.read_bytes()
    image = nib.load(path)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine), path)
    return before


def test_a_case_that_cannot_be_predicted_counts_as_zero_until_it_can(begun, rows):
    spoilt = _held_out(rows)[0]
    path = next(Settings().raw.rglob(f"{spoilt}/imaging.nii"))
    before = _constant(path)
    state = evaluate(EvaluateParameters(model="latest", workers=1), return_state=True)
    problems = f"1 of 2 cases have no prediction and count as zero: {spoilt}"
    assert state.message == f"Completed with problems: {problems}"
    done = state.result()
    assert done.missing == [spoilt]
    assert f"1 case without a prediction</b>, counted as zero in every score: {spoilt}" in done.report.read_text()
    assert rows("SELECT cases, missing_cases FROM leaderboard") == [(2, 1)]
    assert rows(f"SELECT DISTINCT status, dice FROM case_metric_wide WHERE case_name = '{spoilt}'") == [
        ("missing", 0.0)
    ]
    ((stage, error),) = rows("SELECT stage, error FROM open_problem")
    assert stage == "evaluate"
    assert error.startswith(f"{spoilt}: expected ")

    path.write_bytes(before)
    again = evaluate(EvaluateParameters(model="latest", workers=1))
    assert (again.evaluation_id, again.missing) == (done.evaluation_id, [])
    assert rows("SELECT cases, missing_cases FROM leaderboard") == [(2, 0)]
    assert rows("SELECT * FROM open_problem") == []
    assert "without a prediction</b>" not in again.report.read_text()


def test_nothing_that_can_be_predicted_is_an_error(begun, rows):
    for name in _held_out(rows):
        _constant(next(Settings().raw.rglob(f"{name}/imaging.nii")))
    with pytest.raises(KitsError, match="expected some case to be predicted, got none of 2"):
        evaluate(EvaluateParameters(model="latest", workers=1))
    assert rows("SELECT status FROM leaderboard") == [("failed",)]


def test_flips_make_another_evaluation_and_training_cases_take_the_rules_that_validation_chose(begun, rows):
    plain = evaluate(EvaluateParameters(model="latest", workers=1))
    flipped = evaluate(EvaluateParameters(model="latest", flips=True, workers=1))
    assert flipped.evaluation_id != plain.evaluation_id
    assert rows("SELECT evaluation_id, flips FROM leaderboard ORDER BY 1") == [
        (plain.evaluation_id, 0),
        (flipped.evaluation_id, 1),
    ]
    assert "its mirror image" in flipped.report.read_text()
    chosen = Choice.from_json(json.loads(rows("SELECT cleanup FROM evaluation ORDER BY id")[0][0]))
    assert chosen.cases == 2
    evaluate(EvaluateParameters(model="latest", subset="train", workers=1))
    assert Choice.from_json(json.loads(rows("SELECT cleanup FROM evaluation ORDER BY id DESC")[0][0])) == chosen


def test_rules_that_help_are_found_and_used(begun, rows, monkeypatch):
    """A network that would be perfect but for specks in a corner of every scan."""

    def with_specks(case, image, *segmenters):
        labels = np.asarray(nib.load(next(Settings().raw.rglob(f"{case}/segmentation.nii"))).dataobj).astype(np.uint8)
        labels[labels == 3] = 0
        labels[:3, :3, :3] = 1
        return labels

    monkeypatch.setattr("tasks.evaluate.segment", with_specks)
    done = evaluate(EvaluateParameters(model="latest", workers=1))
    choice = Choice.from_json(json.loads(rows("SELECT cleanup FROM evaluation")[0][0]))
    assert choice.rules.foreground_mm3 > 0
    assert choice.after > choice.before
    assert "were removed" in done.report.read_text()
    for name in _held_out(rows):
        cleaned = nib.load(Settings().predictions / f"evaluation_{done.evaluation_id:05d}" / f"{name}.nii.gz")
        assert not np.asarray(cleaned.dataobj)[:3, :3, :3].any()


def _correct(source, case):
    """Shrink a case's tumour, at the source, to a few voxels."""
    path = source / case / "segmentation.nii.gz"
    image = nib.load(path)
    labels = np.asarray(image.dataobj).astype(np.uint8)
    places = np.argwhere(labels == 2)
    labels[labels == 2] = 1
    labels[tuple(places[len(places) // 2])] = 2
    nib.save(nib.Nifti1Image(labels, image.affine), path)


def test_a_corrected_reference_is_scored_against_and_until_then_its_scores_are_stale(
    begun, rows, phantoms, tmp_path, monkeypatch
):
    def with_specks(case, image, *segmenters):
        labels = np.asarray(nib.load(next(Settings().raw.rglob(f"{case}/segmentation.nii"))).dataobj).astype(np.uint8)
        labels[labels == 3] = 0
        labels[:3, :3, :3] = 1
        predicted.append(case)
        return labels

    predicted = []
    monkeypatch.setattr("tasks.evaluate.segment", with_specks)
    first = evaluate(EvaluateParameters(model="latest", workers=1))
    corrected, other = _held_out(rows)
    dice = f"SELECT tumor_dice FROM worst_case WHERE case_name = '{corrected}'"
    ((before,),) = rows(dice)
    source = shutil.copytree(phantoms, tmp_path / "source")
    (source / "SHA256SUMS").unlink(missing_ok=True)
    _correct(source, corrected)
    ingest(IngestParameters(source=str(source), dataset="phantoms", replace_source=True))

    found = rows("SELECT what, number, case_name, changed FROM stale WHERE what = 'evaluation'")
    assert found == [("evaluation", first.evaluation_id, corrected, "segmentation")]
    with open_catalog(Settings()).connect() as connection:
        said = what_is_stale(Session(connection), first.evaluation_id)
    assert said == [
        f"evaluation 1 rests on files that were replaced since ({corrected}); kits evaluate scores them again",
        f"training run 1 rests on files that were replaced since ({corrected}); kits train learns from the new ones",
    ]
    again = evaluate(EvaluateParameters(model="latest", workers=1))
    assert again.evaluation_id == first.evaluation_id
    assert rows("SELECT * FROM stale WHERE what = 'evaluation'") == []
    ((after,),) = rows(dice)
    assert before > 0.9
    assert after < 0.5
    # The rules were chosen on the old reference: they are chosen anew, on predictions that no rule has cleaned.
    assert sorted(predicted) == sorted([corrected, other] * 2)
    assert Choice.from_json(json.loads(rows("SELECT cleanup FROM evaluation")[0][0])).rules.foreground_mm3 > 0
    assert rows("SELECT status, cases FROM leaderboard") == [("completed", 2)]
    # The network itself has learnt from other files, which stays true, and stands at the head of the report.
    assert (
        f"training run 1 rests on files that were replaced since ({corrected}); kits train" in again.report.read_text()
    )
    assert rows("SELECT what, case_name FROM stale WHERE what = 'training_run'") == [("training_run", corrected)]


def test_what_was_predicted_is_not_predicted_again(begun, rows, monkeypatch):
    done = evaluate(EvaluateParameters(model="latest", workers=1))
    folder = Settings().predictions / f"evaluation_{done.evaluation_id:05d}"
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(times) == 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.evaluate.segment", None)
        _forget_scores(begun)
        again = evaluate(EvaluateParameters(model="latest", workers=1))
    assert again.scores == done.scores
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == times


def _forget_scores(home):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(home / "catalog.db")) as connection, connection:
        connection.execute("DELETE FROM case_score")
        connection.execute("UPDATE evaluation SET status = 'running'")


def test_two_at_once_take_turns_and_predict_once(begun, rows):
    from concurrent.futures import ThreadPoolExecutor

    processes = [
        subprocess.Popen(
            [*KITS, "evaluate", "--model", "latest", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(2)
    ]
    with ThreadPoolExecutor(2) as pool:
        answers = [json.loads(output) for output, _ in pool.map(lambda process: process.communicate(), processes)]
    assert [process.returncode for process in processes] == [0, 0]
    assert answers[0] == answers[1]
    assert rows("SELECT COUNT(*) FROM evaluation") == [(1,)]
    assert rows("SELECT cases, missing_cases FROM leaderboard") == [(2, 0)]


def test_the_folder_of_predictions_scores_the_same_as_files(begun, rows, tmp_path):
    done = evaluate(EvaluateParameters(model="latest", workers=1))
    folder = Settings().predictions / f"evaluation_{done.evaluation_id:05d}"
    references = tmp_path / "references"
    for name in _held_out(rows):
        (references / name).mkdir(parents=True)
        shutil.copy(next(Settings().raw.rglob(f"{name}/segmentation.nii")), references / name)
    run = subprocess.run(
        [*KITS, "score", str(folder), str(references), "--csv", str(tmp_path / "scores.csv")],
        capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    lines = (tmp_path / "scores.csv").read_text().splitlines()[1:]
    in_files = {tuple(line.split(",")[:3]): line.split(",")[3] for line in lines}
    stored = {
        (name, region, metric): value
        for metric in BY_NAME
        for name, region, value in rows(f"SELECT case_name, region, {metric} FROM case_metric_wide")
    }
    assert {key for key in stored.keys() - in_files.keys() if stored[key] is not None} == set()
    for (name, region, metric), written in in_files.items():
        value = stored[name, region, metric]
        assert written == "" if value is None else float(written) == pytest.approx(value, rel=1e-12)
