"""What killed processes leave is found and removed; what is needed, held or somebody's own stays."""

import os
import shutil
import time

import pytest

from db.settings import Settings
from kits_core.phantom.dataset import write_phantoms
from tasks.incoming import locked
from tasks.leftovers import find_leftovers

DATASET, CASE = "phantoms", "case_00000"


@pytest.fixture(scope="module")
def _ingested(tmp_path_factory, prefect_api):
    """A home with one case."""
    from flows.ingest import ingest
    from flows.parameters import IngestParameters

    root, home = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("ingested") / "home"
    write_phantoms(root, 1, 3, shape=(24, 64, 64), spacing_mm=(8.0, 5.0, 5.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KITS_HOME", str(home))
        ingest(IngestParameters(source=str(root), dataset=DATASET))
    return home


@pytest.fixture
def ingested(home, _ingested):
    shutil.copytree(_ingested, home)
    return Settings()


def _write(path, text="x" * 100):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _paths(found):
    return {leftover.path for leftover in found}


def test_nothing_is_left_over_of_an_ingestion_that_ended(ingested):
    assert find_leftovers() == []


def test_what_a_kill_leaves_is_shown_then_removed_and_what_is_someone_elses_stays(ingested):
    raw, incoming = ingested.raw / DATASET / CASE, ingested.incoming / DATASET / CASE
    row = (raw / "imaging.nii").stat().st_ctime
    staged = _write(raw / ".staging-abc" / "imaging.nii").parent
    fetched_again = _write(incoming / "imaging.nii.gz")
    note = _write(incoming / "segmentation.nii.gz.json", "{")
    newer = _write(incoming / "segmentation.nii.gz.partial")
    of_another_case = _write(ingested.incoming / DATASET / "case_00001" / "imaging.nii.gz.partial")
    torn = _write(ingested.prepared / "abc" / "image.npy.123.partial.npy")
    os.utime(torn, (time.time() - 7200,) * 2)
    being_written = _write(ingested.prepared / "abc" / "image.npy.124.partial.npy")
    own = [_write(raw / "notes.txt"), _write(raw / "case.partial.txt"), _write(incoming / "mine.nii.gz")]
    assert fetched_again.stat().st_ctime > row
    _write(incoming / "imaging.nii.gz.json", _facts_of(ingested))
    needless = {staged, fetched_again, incoming / "imaging.nii.gz.json", note, torn}
    shown = find_leftovers()
    assert _paths(shown) == needless
    assert all(path.exists() for path in needless)
    assert {leftover.path: leftover.bytes for leftover in shown}[staged] == 100
    assert find_leftovers(remove=True) == shown
    assert not any(path.exists() for path in needless)
    assert all(path.exists() for path in [newer, of_another_case, being_written, *own, raw / "imaging.nii"])


def _facts_of(settings):
    """The note of an archive that the catalog knows: it came in, and the kill came before it was let go."""
    import json
    from dataclasses import asdict

    from sqlalchemy import text

    from db.engine import open_catalog
    from kits_core.source.transfer import Fetched

    with open_catalog(settings).connect() as connection:
        sha256 = connection.execute(text("SELECT archive_sha256 FROM case_file WHERE kind = 'image'")).scalar_one()
    return json.dumps(asdict(Fetched(100, sha256, None, None, "x")))


def test_a_download_from_before_its_case_came_in_is_needless_and_a_later_one_is_not(ingested):
    partial = _write(ingested.incoming / DATASET / CASE / "imaging.nii.gz.partial")
    assert find_leftovers() == []
    _say_it_came_in_now(ingested)
    assert _paths(find_leftovers()) == {partial}


def _say_it_came_in_now(settings):
    from db.engine import catalog_session
    from db.models import CaseFile
    from db.models.base import now

    time.sleep(0.05)
    with catalog_session(settings) as session:
        for row in session.query(CaseFile):
            row.created_at = now()


def test_what_an_ingestion_is_at_stays(ingested):
    staged = _write(ingested.raw / DATASET / CASE / ".staging-abc" / "imaging.nii").parent
    fetched = _write(ingested.incoming / DATASET / CASE / "imaging.nii.gz.partial")
    _say_it_came_in_now(ingested)
    with locked(staged):
        assert find_leftovers(remove=True) == []
    assert staged.exists() and fetched.exists()
    assert _paths(find_leftovers(remove=True)) == {staged, fetched}


def test_folders_that_are_empty_then_go_too(ingested):
    _write(ingested.raw / "gone" / "case" / ".staging-abc" / "imaging.nii")
    find_leftovers(remove=True)
    assert not (ingested.raw / "gone" / "case").exists()
