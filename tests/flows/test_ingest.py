import shutil

import pytest

from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.server import DatasetServer

pytestmark = pytest.mark.usefixtures("prefect_api", "home")


def _ingest(source, **options):
    return ingest(IngestParameters(source=str(source), dataset="phantoms", **options))


def _stored_as_catalogued(rows):
    settings = Settings()
    files = rows("SELECT path, bytes, sha256 FROM case_file")
    return all(
        settings.absolute(path).stat().st_size == size and sha256_of(settings.absolute(path)) == sha256
        for path, size, sha256 in files
    )


def test_every_case_arrives_verified_and_the_second_run_asks_for_no_file(phantoms, rows):
    with DatasetServer(phantoms) as server:
        done = _ingest(server.address)
        assert (done.chosen, done.brought_in, done.refused) == (8, 8, 0)
        assert rows("SELECT status, COUNT(*) FROM case_overview GROUP BY status") == [("ingested", 8)]
        assert rows("SELECT COUNT(*) FROM case_file") == [(16,)]
        assert rows("SELECT COUNT(*) FROM clinical_record") == [(8,)]
        assert rows("SELECT COUNT(*) FROM label_volume WHERE label = 2 AND ml > 0") == [(8,)]
        assert _stored_as_catalogued(rows)
        assert not list(Settings().incoming.rglob("*.nii.gz*"))
        before = server.requests
        assert _ingest(server.address).brought_in == 0
        again = server.requests - before
        assert not [path for path in again if path.endswith(".nii.gz")]


def test_every_row_says_which_flow_run_wrote_it(phantoms, rows):
    _ingest(phantoms, cases="0-1")
    assert rows("SELECT COUNT(*) FROM case_file WHERE flow_run_id IS NULL") == [(0,)]
    assert len(rows("SELECT DISTINCT flow_run_id FROM case_file")) == 1


def test_a_bad_case_goes_to_quarantine_with_its_reason_and_the_next_run_fetches_just_that(phantoms, rows):
    fault = Fault("case_00003/imaging.nii.gz", FaultKind.STATUS_404, times=1)  # asked again, it would be there
    with DatasetServer(phantoms, [fault]) as server:
        done = _ingest(server.address, allowed_failures=0.2)
        assert (done.brought_in, done.refused) == (7, 1)
        ((case, stage, error, attempts),) = rows("SELECT case_name, stage, error, attempts FROM open_problem")
        assert (case, stage, attempts) == ("case_00003", "ingest", 1)
        assert "404" in error
        before = server.requests
        assert _ingest(server.address).brought_in == 1
        fetched = {path.split("/")[0] for path in server.requests - before if path.endswith(".nii.gz")}
        assert fetched == {"case_00003"}
    assert rows("SELECT * FROM open_problem") == []
    assert rows("SELECT COUNT(*) FROM problem WHERE resolved_at IS NOT NULL") == [(1,)]
    assert _stored_as_catalogued(rows)


def test_what_a_retry_can_mend_is_mended_within_one_run(phantoms, rows, monkeypatch):
    monkeypatch.setattr("tasks.ingest.fetch_case.retry_delay_seconds", [0.1])
    faults = [
        Fault("case_00000/imaging.nii.gz", FaultKind.RESET),
        Fault("case_00001/imaging.nii.gz", FaultKind.STATUS_503),
        Fault("case_00002/imaging.nii.gz", FaultKind.BIT_FLIP),
        Fault("case_00003/segmentation.nii.gz", FaultKind.TRUNCATE),
    ]
    with DatasetServer(phantoms, faults) as server:
        done = _ingest(server.address)
    assert (done.brought_in, done.refused) == (8, 0)
    assert _stored_as_catalogued(rows)
    assert rows("SELECT * FROM open_problem") == []


def test_too_many_bad_cases_fail_the_run_after_the_good_ones_are_in(phantoms, rows, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(phantoms, source)
    (source / "SHA256SUMS").unlink()
    for case in ("case_00001", "case_00002"):
        (source / case / "imaging.nii.gz").write_bytes(b"<html>not found</html>")
    with pytest.raises(KitsError, match=r"at most 5% of 8 cases in quarantine, got 2"):
        _ingest(source)
    assert rows("SELECT COUNT(*) FROM case_overview WHERE status = 'ingested'") == [(6,)]
    assert rows("SELECT COUNT(*) FROM open_problem WHERE error LIKE '%case_0000%'") == [(2,)]


def test_a_scan_without_a_segmentation_is_a_case_to_predict(phantoms, rows, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(phantoms / "case_00000", source / "case_00000")
    (source / "case_00000" / "segmentation.nii.gz").unlink()
    assert _ingest(source).brought_in == 1
    assert rows("SELECT status, has_segmentation, tumor_ml FROM case_overview") == [("ingested", 0, None)]


def test_a_file_that_was_lost_from_the_home_is_fetched_again(phantoms, rows):
    _ingest(phantoms, cases="0-2")
    ((path,),) = rows("SELECT path FROM case_file WHERE kind = 'image' ORDER BY path LIMIT 1")
    Settings().absolute(path).unlink()
    assert _ingest(phantoms, cases="0-2").brought_in == 1
    assert _stored_as_catalogued(rows)


def test_a_finished_archive_is_not_downloaded_again_after_a_kill_before_its_conversion(phantoms, rows, monkeypatch):
    def killed(*_args, **_options):
        raise KeyboardInterrupt

    with DatasetServer(phantoms) as server:
        with monkeypatch.context() as patch:
            patch.setattr("tasks.ingest.convert_image", killed)
            with pytest.raises(BaseException):  # noqa: B017 - whatever Prefect makes of it
                _ingest(server.address, cases="4")
        sent = server.bytes_sent["case_00004/imaging.nii.gz"]
        assert sent > 0
        assert _ingest(server.address, cases="4").brought_in == 1
        assert server.bytes_sent["case_00004/imaging.nii.gz"] == sent


@pytest.mark.parametrize(
    ("source", "message"), [("/no/such/folder", "existing folder"), ("ftp://x/y", "http or https")]
)
def test_a_source_that_is_none_is_refused_with_what_is_expected(source, message, rows):
    with pytest.raises(KitsError, match=message):
        _ingest(source)
