"""Ingestions that are killed, locked out, doubled or out of room, as processes of their own, and what is left then."""

import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import nibabel as nib
import numpy as np
import pytest

from db.settings import Settings
from kits_core.files import sha256_of
from kits_core.phantom.dataset import kits_affine, write_phantoms
from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.server import DatasetServer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("_shared_server")]

MAIN = "from deployments.cli import main\nmain()"


@pytest.fixture
def _shared_server(home, prefect_api, monkeypatch):
    """What is tested is the home and the catalog; a server of one's own takes 10 s of a core at each start."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)


@pytest.fixture
def _own_server(home, with_prefects_tables, monkeypatch):
    """A home in which a server has run: its tables are not what is tested here, and making them takes a while."""
    monkeypatch.delenv("PREFECT_API_URL")
    with_prefects_tables(home)


def _start(source):
    return subprocess.Popen(
        [sys.executable, "-c", MAIN, "ingest", "--source", str(source), "--dataset", "phantoms"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finish(process, *, status=0):
    output, _ = process.communicate(timeout=180)
    assert process.returncode == status, output[-3000:]
    return output


def _wait_for(condition, process):
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, "what the test waits for did not come"
        time.sleep(0.001)


def _kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate()


def _everything_is_in(rows, source):
    """Every good case is complete and verified by hash, and nothing else lies in the home."""
    settings = Settings()
    stored = rows("SELECT path, sha256, archive_sha256, source_url FROM case_file WHERE superseded_at IS NULL")
    assert len(stored) == 2 * len(list(source.glob("case_*")))
    for path, sha256, archive_sha256, url in stored:
        assert sha256_of(settings.absolute(path)) == sha256
        assert sha256_of(source.joinpath(*url.split("/")[-2:])) == archive_sha256
    assert rows('SELECT DISTINCT status FROM "case"') == [("ingested",)]
    assert rows("SELECT * FROM open_problem") == []
    files = {path.relative_to(settings.home).as_posix() for path in settings.raw.rglob("*") if path.is_file()}
    assert files == {path for path, *_ in stored}
    assert not list(settings.incoming.rglob("*.gz*"))


@pytest.mark.usefixtures("_own_server")
def test_killed_in_the_middle_of_a_download_it_resumes_where_it_was(phantoms, rows):
    stalled = "case_00002/imaging.nii.gz"
    with DatasetServer(phantoms, [Fault(stalled, FaultKind.STALL, stall_s=60)]) as server:
        first = _start(server.address)
        partial = Settings().incoming / "phantoms" / f"{stalled}.partial"
        _wait_for(lambda: partial.is_file() and partial.stat().st_size > 0, first)
        _kill(first)
        already = partial.stat().st_size
        _finish(_start(server.address))
        resumed = [served for served in server.log if served.path == stalled and served.status == 206]
    assert [served.start for served in resumed][-1:] == [already]
    _everything_is_in(rows, phantoms)


def test_killed_in_the_middle_of_a_conversion(large, rows):
    first = _start(large)
    raw = Settings().raw / "phantoms"
    _wait_for(lambda: any(raw.glob("case_*/.staging-*/*")), first)
    _kill(first)
    assert list(raw.glob("case_*/.staging-*"))
    _finish(_start(large))
    _everything_is_in(rows, large)


def test_killed_while_it_waits_to_write_to_the_catalog(phantoms, rows):
    first = _start(phantoms)
    raw = Settings().raw / "phantoms"
    _wait_for(lambda: any(raw.glob("case_*/.staging-*/*")), first)
    with _locked_catalog():
        time.sleep(1.5)
        _kill(first)
    assert len(rows("SELECT * FROM case_overview WHERE status = 'ingested'")) < 8
    _finish(_start(phantoms))
    _everything_is_in(rows, phantoms)


def test_a_catalog_that_is_locked_for_20_seconds_only_takes_longer(phantoms, rows):
    process = _start(phantoms)
    _wait_for(lambda: (Settings().home / "catalog.db").is_file() and Settings().incoming.is_dir(), process)
    with _locked_catalog():
        time.sleep(20)
        assert process.poll() is None
    _finish(process)
    _everything_is_in(rows, phantoms)


def test_two_ingestions_of_the_same_cases_at_once(phantoms, rows):
    with DatasetServer(phantoms) as server:
        both = [_start(server.address), _start(server.address)]
        for process in both:
            _finish(process)
    _everything_is_in(rows, phantoms)
    assert rows("SELECT MAX(version) FROM case_file") == [(1,)]


@pytest.mark.parametrize(
    ("largest_file", "reason"),
    [(5_000_000, "no room to write it"), (12_000_000, "room for the converted files of")],
)
def test_a_file_that_finds_no_room_is_told_and_comes_in_when_there_is(large, rows, largest_file, reason):
    assert 5_000_000 < (large / "case_00001" / "imaging.nii.gz").stat().st_size < 12_000_000
    process = _start(large)
    _wait_for((Settings().home / "catalog.db").is_file, process)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest_file, largest_file))
    _finish(process, status=1)
    ((case, error),) = rows("SELECT case_name, error FROM open_problem")
    assert case == "case_00001"
    assert reason in error
    _finish(_start(large))
    _everything_is_in(rows, large)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Three phantoms, one of them with an image whose conversion takes a moment."""
    root = tmp_path_factory.mktemp("large")
    write_phantoms(root, 3, 4, shape=(24, 64, 64), spacing_mm=(8.0, 5.0, 5.0))
    (root / "SHA256SUMS").unlink()
    rng = np.random.default_rng(0)
    shape, affine = (128, 256, 256), kits_affine((2.0, 1.25, 1.25))
    hu = rng.normal(0, 20, shape).astype(np.int16)
    hu[:, :40] = -1000
    nib.Nifti1Image(hu, affine).to_filename(root / "case_00001" / "imaging.nii.gz")
    labels = np.zeros(shape, np.uint8)
    labels[30:50, 80:120, 80:120] = 1
    labels[35:45, 90:100, 90:100] = 2
    nib.Nifti1Image(labels, affine).to_filename(root / "case_00001" / "segmentation.nii.gz")
    return root


def _locked_catalog():
    connection = sqlite3.connect(Settings().home / "catalog.db", timeout=60, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return closing(connection)
