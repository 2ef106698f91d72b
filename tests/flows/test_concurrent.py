"""Verbs at the same time on the same cases: each ends well, and everything that is left belongs together."""

import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import nibabel as nib
import numpy as np
import pytest

from db.settings import Settings
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.parameters import EvaluateParameters, IngestParameters, PredictParameters, PrepareParameters
from flows.predict import predict
from flows.prepare import prepare
from kits_core.files import sha256_of
from kits_core.recipe import Recipe
from kits_core.results import NOTE
from tasks.leftovers import find_leftovers

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]


def _together(*calls):
    """Their results, all begun at one moment."""
    gate = threading.Barrier(len(calls))

    def call(function):
        gate.wait()
        return function()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [run.result() for run in [pool.submit(copy_context().run, call, function) for function in calls]]


@pytest.fixture
def source(phantoms, tmp_path):
    """A copy of the phantoms that a test may change."""
    shutil.copytree(phantoms, tmp_path / "source")
    (tmp_path / "source" / "SHA256SUMS").unlink(missing_ok=True)
    return tmp_path / "source"


def _correct(source, case):
    """Replace a case's segmentation by one with less tumour, at once."""
    path = source / case / "segmentation.nii.gz"
    image = nib.load(path)
    labels = np.asarray(image.dataobj).astype(np.uint8)
    tumor = np.argwhere(labels == 2)
    labels[tuple(tumor[: len(tumor) // 2].T)] = 1
    aside = path.with_name("aside.nii.gz")
    nib.save(nib.Nifti1Image(labels, image.affine), aside)
    os.replace(aside, path)  # noqa: PTH105 - as a copying tool does


def _everything_is_accounted_for(rows, source):
    settings = Settings()
    newest = rows("SELECT path, sha256, archive_sha256, source_url FROM case_file WHERE superseded_at IS NULL")
    for path, sha256, archive_sha256, url in newest:
        assert sha256_of(settings.absolute(path)) == sha256
        assert sha256_of(source.joinpath(*url.split("/")[-2:])) == archive_sha256
    stored = {path for (path,) in rows("SELECT path FROM case_file")}
    assert {file.relative_to(settings.home).as_posix() for file in settings.raw.rglob("*") if file.is_file()} == stored
    assert rows("SELECT * FROM open_problem") == []
    assert find_leftovers() == []


def test_two_ingestions_that_share_cases_while_their_source_changes(home, rows, source):
    def change():
        time.sleep(0.5)
        _correct(source, "case_00003")

    _together(
        lambda: ingest(IngestParameters(source=str(source), dataset="shared", cases="0-5")),
        lambda: ingest(IngestParameters(source=str(source), dataset="shared", cases="2-7")),
        change,
    )
    ingest(IngestParameters(source=str(source), dataset="shared"))
    _everything_is_accounted_for(rows, source)
    assert rows("SELECT COUNT(*), COUNT(DISTINCT case_name) FROM case_overview WHERE status = 'ingested'") == [(8, 8)]


def test_a_case_that_is_replaced_while_it_is_prepared(home, rows, source):
    ingest(IngestParameters(source=str(source), dataset="phantoms"))
    _correct(source, "case_00002")
    _correct(source, "case_00006")
    asked = PrepareParameters(recipe=Recipe(shape=32))
    _together(lambda: prepare(asked), lambda: ingest(IngestParameters(source=str(source), dataset="phantoms")))
    prepare(asked)
    _everything_is_accounted_for(rows, source)
    assert rows("SELECT * FROM stale") == []
    prepared = rows("SELECT image_path, image_sha256 FROM prepared_case")
    assert len(prepared) == 8
    assert all(sha256_of(home / path) == sha256 for path, sha256 in prepared)


def test_an_evaluation_while_cases_are_prepared(begun, rows):
    done, _ = _together(
        lambda: evaluate(EvaluateParameters(model="1", workers=1)),
        lambda: prepare(PrepareParameters(recipe=Recipe(shape=64), workers=1)),
    )
    assert done.missing == []
    assert rows("SELECT cases, missing_cases, status FROM leaderboard") == [(2, 0, "completed")]
    assert rows("SELECT COUNT(*) FROM prepared_case") == [(8,)]


def test_two_models_that_predict_one_scan_into_one_folder_leave_the_results_of_one(begun, scan, rows, tmp_path):
    def ask(model):
        return predict(PredictParameters(scans=[str(scan)], out=str(tmp_path / "plans"), model=model))

    done = _together(lambda: ask("1"), lambda: ask("2"), lambda: ask("1"))
    assert all(not one.refused for one in done)
    folder = tmp_path / "plans" / "case_00000"
    written = json.loads((folder / NOTE).read_text(encoding="utf-8"))
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {NOTE, *written}
    assert all(sha256_of(folder / name) in hashes for name, hashes in written.items())
    (model,) = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["lineage"]["model SHA-256"].split("; ")
    note = bytes(nib.load(folder / "segmentation.nii.gz").header["descrip"]).decode("latin-1")
    assert model[:20] in note
    assert rows("SELECT status, COUNT(*) FROM prediction GROUP BY 1") == [("completed", 2)]
    assert sorted(path.name for path in folder.parent.iterdir()) == ["case_00000"]
