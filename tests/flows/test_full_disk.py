"""A disk that is full, or fills up meanwhile: a small file system of its own, which takes root."""

import os
import shutil
import subprocess

import pytest

from db.settings import Settings
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.parameters import EvaluateParameters, IngestParameters, PredictParameters, PrepareParameters
from flows.predict import predict
from flows.prepare import prepare
from kits_core.disk import RESERVE_BYTES, FullDiskError, free_bytes
from kits_core.errors import KitsError
from kits_core.recipe import Recipe
from tasks.progress import listening

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api")]

RECIPE = Recipe(shape=64)
EACH = 3 * 64**3


@pytest.fixture
def small_disk(home, tmp_path, phantoms, monkeypatch):
    """A home with eight cases on a disk of 230 MB, in place of the test's own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=230m,mode=700", "none", str(place)]
    if os.getuid() != 0 or shutil.which("mount") is None or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("expected root that may mount a file system, got none")
    try:
        monkeypatch.setenv("KITS_HOME", str(place / home.name))
        ingest(IngestParameters(source=str(phantoms), dataset="phantoms"))
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _leave(place, free):
    """Fill a disk until that many bytes are free."""
    filler = place / "filler"
    with filler.open("ab") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, filler.stat().st_size + free_bytes(place) - free))


def test_what_does_not_fit_is_said_before_the_first_case(small_disk, rows):
    _leave(small_disk, RESERVE_BYTES + 8 * EACH - 500_000)
    told = r"prepared: expected room for the network inputs of 8 cases \(6\.3 MB\) beside 200 MB .* got 20\d MB free"
    with pytest.raises(FullDiskError, match=told):
        prepare(PrepareParameters(recipe=RECIPE))
    assert rows("SELECT COUNT(*) FROM prepared_case") == [(0,)]
    assert not Settings().prepared.exists()
    (small_disk / "filler").unlink()
    assert prepare(PrepareParameters(recipe=RECIPE)).prepared == 8


def test_a_disk_that_fills_up_meanwhile_leaves_the_reserve_and_an_account_of_every_case(small_disk, rows):
    class Filling:
        def update(self, stage, done, total, note):
            if stage == "prepare" and done == 2:
                _leave(small_disk, RESERVE_BYTES + EACH // 2)

        def say(self, text):
            pass

    with (
        listening(Filling()),
        pytest.raises(KitsError, match="expected network inputs of 8 cases, got none of") as told,
    ):
        prepare(PrepareParameters(recipe=RECIPE, workers=1))
    assert "expected room for the network inputs of case_0000" in str(told.value)
    ((made,),) = rows("SELECT COUNT(*) FROM prepared_case")
    problems = rows("SELECT case_name, error FROM open_problem WHERE stage = 'prepare'")
    assert 2 <= made < 8
    assert made + len(problems) == 8
    assert all("make room there, or move the home (KITS_HOME)" in error for _, error in problems)
    assert free_bytes(small_disk) > RESERVE_BYTES - 2 * EACH
    (small_disk / "filler").unlink()
    assert prepare(PrepareParameters(recipe=RECIPE)).prepared == 8
    assert rows("SELECT COUNT(*) FROM open_problem") == [(0,)]


@pytest.mark.usefixtures("networks")
def test_predictions_and_evaluations_ask_too(painted_home, small_disk, scan, rows, monkeypatch):
    shutil.copytree(painted_home, small_disk / "painted")
    monkeypatch.setenv("KITS_HOME", str(small_disk / "painted"))
    _leave(small_disk, RESERVE_BYTES + 5_000)
    with pytest.raises(KitsError, match=r"expected room for the prediction of case_0000.*make room there"):
        evaluate(EvaluateParameters(model="1"))
    assert rows("SELECT status FROM evaluation") == [("failed",)]
    assert len(rows("SELECT * FROM open_problem WHERE stage = 'evaluate'")) == 2
    out = small_disk / "plans"
    with pytest.raises(KitsError, match=r"expected room for the plan of .* \(20 MB\) beside 200 MB"):
        predict(PredictParameters(scans=[str(scan)], out=str(out), model="1"))
    assert rows("SELECT status FROM prediction") == [("failed",)]
    (small_disk / "filler").unlink()
    assert evaluate(EvaluateParameters(model="1")).missing == []


def test_one_that_is_full_to_the_last_byte_is_named_too(small_disk, rows, monkeypatch):
    monkeypatch.setattr("kits_core.disk.RESERVE_BYTES", -(10**12))  # nothing is asked for: the write itself fails
    _leave(small_disk, 600_000)
    with pytest.raises(KitsError, match=r"expected room for what prepare makes of case_0000.*No space left on device"):
        prepare(PrepareParameters(recipe=RECIPE, workers=1))
