import gzip
import hashlib
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from pydantic import ValidationError

from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.phantom.broken import Damage, damage
from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.mirror import Kits23Mirror
from kits_core.phantom.server import DatasetServer
from kits_core.source.download import guard_file
from kits_core.source.probe import PROBE_BYTES
from tasks import ingest as ingest_tasks
from tasks.incoming import incoming_folder

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


def test_what_a_retry_can_mend_is_mended_within_one_run(phantoms, rows, hasty):
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


def test_a_row_has_the_hash_of_the_archive_that_was_converted(phantoms, rows, monkeypatch):
    checked = ingest_tasks._check

    def another_ingestion_notes_its_own(case, converted, newest):
        for note in incoming_folder(case).glob("*.nii.gz.json"):
            note.write_text(json.dumps({**json.loads(note.read_text()), "sha256": "0" * 64}))
        checked(case, converted, newest)

    monkeypatch.setattr(ingest_tasks, "_check", another_ingestion_notes_its_own)
    with DatasetServer(phantoms) as server:
        _ingest(server.address, cases="0")
    assert {sha256 for (sha256,) in rows("SELECT archive_sha256 FROM case_file")} == {
        sha256_of(phantoms / "case_00000" / name) for name in ("imaging.nii.gz", "segmentation.nii.gz")
    }


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
        # What a kill between the last byte's rename and the end of its download leaves.
        guard_file(Settings().incoming / "phantoms" / "case_00004" / "imaging.nii.gz").write_text("{}")
        assert _ingest(server.address, cases="4").brought_in == 1
        assert server.bytes_sent["case_00004/imaging.nii.gz"] <= sent + 2 * PROBE_BYTES
        assert not list(Settings().incoming.rglob("*.gz*"))


@pytest.mark.parametrize(
    ("source", "message"), [("/no/such/folder", "existing folder"), ("ftp://x/y", "http or https")]
)
def test_a_source_that_is_none_is_refused_with_what_is_expected(source, message, rows):
    with pytest.raises(KitsError, match=message):
        _ingest(source)


@pytest.fixture
def source(phantoms, tmp_path):
    """A copy of the phantoms that a test may change."""
    copy = tmp_path / "source"
    shutil.copytree(phantoms, copy)
    (copy / "SHA256SUMS").unlink()
    return copy


def _correct(source, case):
    """Another segmentation for a case, as if its annotators had mended it."""
    path = source / case / "segmentation.nii.gz"
    image = nib.load(path)
    labels = np.asarray(image.dataobj).copy()
    labels[labels == 3] = 0
    labels[tuple(np.argwhere(labels == 1)[0])] = 2
    nib.Nifti1Image(labels, image.affine, image.header).to_filename(path)


@pytest.mark.parametrize("over_http", [True, False])
def test_a_changed_file_becomes_a_new_version_and_nothing_else_is_fetched(source, rows, over_http):
    with DatasetServer(source) as server:
        where = server.address if over_http else source
        assert _ingest(where).brought_in == 8
        ((old,),) = rows(
            'SELECT f.path FROM case_file f JOIN "case" c ON c.id = f.case_id '
            "WHERE c.name = 'case_00005' AND f.kind = 'segmentation'"
        )
        kept = sha256_of(Settings().absolute(old))
        _correct(source, "case_00005")
        sent = server.bytes_sent
        assert _ingest(where).brought_in == 1
        fetched = {path for path in server.bytes_sent - sent if (server.bytes_sent - sent)[path] > PROBE_BYTES}
    assert fetched <= {"case_00005/segmentation.nii.gz", "kits23.json"}
    versions = rows(
        "SELECT f.kind, f.version, f.superseded_at IS NULL FROM case_file f "
        "JOIN \"case\" c ON c.id = f.case_id WHERE c.name = 'case_00005' ORDER BY 1, 2"
    )
    assert versions == [("image", 1, 1), ("segmentation", 1, 0), ("segmentation", 2, 1)]
    assert sha256_of(Settings().absolute(old)) == kept
    assert _stored_as_catalogued(rows)


def test_a_run_that_finds_nothing_new_asks_once_a_file_and_fetches_none(source, rows):
    with DatasetServer(source) as server:
        _ingest(server.address)
        before, sent = server.requests, server.bytes_sent
        done = _ingest(server.address)
        asked = {path: n for path, n in (server.requests - before).items() if path.endswith(".nii.gz")}
        received = sum(n for path, n in (server.bytes_sent - sent).items() if path.endswith(".nii.gz"))
    assert (done.brought_in, done.refused, done.vanished) == (0, 0, 0)
    assert set(asked.values()) == {1}
    assert len(asked) == 16
    assert received == 0


def test_what_vanished_at_the_source_is_marked_and_kept_and_unmarked_when_it_is_back(source, rows):
    _ingest(source)
    shutil.move(source / "case_00002", source.parent / "away")
    (source / "case_00003" / "segmentation.nii.gz").rename(source.parent / "labels")
    done = _ingest(source)
    assert (done.chosen, done.brought_in, done.vanished) == (7, 0, 2)
    marked = 'SELECT DISTINCT c.name FROM case_file f JOIN "case" c ON c.id = f.case_id WHERE f.vanished_at IS NOT NULL'
    assert rows(marked + " ORDER BY 1") == [("case_00002",), ("case_00003",)]
    assert _stored_as_catalogued(rows)
    assert rows("SELECT COUNT(*) FROM case_overview WHERE status = 'ingested'") == [(8,)]
    shutil.move(source.parent / "away", source / "case_00002")
    assert _ingest(source).vanished == 1
    assert rows(marked) == [("case_00003",)]


def test_a_run_that_does_not_fit_stops_before_the_first_byte(source, monkeypatch):
    monkeypatch.setattr("tasks.listing.free_bytes", lambda _: 1000)
    with DatasetServer(source) as server:
        with pytest.raises(KitsError, match=r"of free space in the home for 16 files .* nothing was fetched"):
            _ingest(server.address)
        assert max(server.bytes_sent[f"case_0000{n}/imaging.nii.gz"] for n in range(8)) <= PROBE_BYTES
    assert not list(Settings().incoming.rglob("*.gz*"))


def test_archives_are_kept_where_that_is_asked_for(source, rows):
    _ingest(source, cases="0", keep_archives=True)
    for name in ("imaging", "segmentation"):
        kept = Settings().raw / "phantoms" / "case_00000" / f"{name}.nii.gz"
        assert kept.read_bytes() == (source / "case_00000" / f"{name}.nii.gz").read_bytes()


def test_a_file_of_someone_elses_is_no_room_for_an_archive(source, rows):
    theirs = Settings().raw / "phantoms" / "case_00000" / "imaging.nii.gz"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"mine")
    with pytest.raises(KitsError, match=r"room for the archive at .*imaging.nii.gz, got a file that is not it"):
        _ingest(source, cases="0", keep_archives=True)
    assert theirs.read_bytes() == b"mine"
    assert not theirs.with_name("imaging.nii").exists()
    theirs.rename(theirs.with_name("mine.gz"))
    assert _ingest(source, cases="0", keep_archives=True).brought_in == 1


def test_a_refused_archive_lies_in_quarantine_until_the_source_is_mended(source, rows):
    good = (source / "case_00001" / "segmentation.nii.gz").read_bytes()
    damage(source, "case_00001", Damage.WRONG_LABELS)
    _ingest(source, allowed_failures=0.2)
    aside = Settings().quarantine / "phantoms" / "case_00001"
    assert sorted(path.name for path in aside.iterdir()) == ["imaging.nii.gz", "segmentation.nii.gz"]
    assert rows("SELECT COUNT(*) FROM open_problem WHERE error LIKE '%labels 0, 1, 2 and 3%got also [7]%'") == [(1,)]
    assert rows("SELECT f.id FROM case_file f JOIN \"case\" c ON c.id = f.case_id WHERE c.name = 'case_00001'") == []
    assert not (Settings().raw / "phantoms" / "case_00001").exists()
    (source / "case_00001" / "segmentation.nii.gz").write_bytes(good)
    assert _ingest(source).brought_in == 1
    assert not aside.exists()
    assert rows("SELECT * FROM open_problem") == []


def test_an_ingested_case_whose_new_version_is_bad_keeps_the_old_one(source, rows):
    _ingest(source)
    good = (source / "case_00001" / "imaging.nii.gz").read_bytes()
    damage(source, "case_00001", Damage.NOT_HU)
    assert _ingest(source, allowed_failures=0.2).refused == 1
    assert rows("SELECT status, image_version FROM case_overview WHERE case_name = 'case_00001'") == [
        ("quarantined", 1)
    ]
    assert _stored_as_catalogued(rows)
    (source / "case_00001" / "imaging.nii.gz").write_bytes(good)
    assert _ingest(source).refused == 0
    assert rows("SELECT status, image_version FROM case_overview WHERE case_name = 'case_00001'") == [("ingested", 1)]
    assert rows("SELECT * FROM open_problem") == []


def test_an_empty_case_folder_stops_no_other_case(source, rows):
    (source / "case_00004" / "imaging.nii.gz").unlink()
    done = _ingest(source, allowed_failures=0.2)
    assert (done.brought_in, done.refused) == (7, 1)
    assert rows("SELECT COUNT(*) FROM open_problem WHERE error LIKE '%imaging.nii.gz in%'") == [(1,)]


def test_headers_are_read_in_one_way_noted_or_refused(phantoms, rows, tmp_path, artifact):
    """A sform without scale made 8 ml of 191; a size that no file can hold ended the run; a fourth axis was refused."""

    def change(case, **fields):
        for name in ("imaging", "segmentation"):
            path = source / case / f"{name}.nii.gz"
            block = bytearray(gzip.decompress(path.read_bytes()))
            header = nib.Nifti1Header(bytes(block[:348]), check=False)
            for field, value in fields.items():
                header[field] = value(header[field]) if callable(value) else value
            block[:348] = header.binaryblock
            path.write_bytes(gzip.compress(bytes(block), 1))

    source = tmp_path / "source"
    for number in range(6):
        shutil.copytree(phantoms / f"case_{number:05d}", source / f"case_{number:05d}")
    affine = nib.load(source / "case_00000" / "imaging.nii.gz").affine
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    change("case_00000", **{f"srow_{axis}": [*row, 0] for axis, row in zip("xyz", unit, strict=True)})
    change("case_00001", vox_offset=np.nan)
    change("case_00002", dim=[3, 20000, 20000, 20000, 1, 1, 1, 1])
    change("case_00003", dim=lambda dim: [4, *dim[1:4], 1, 1, 1, 1])
    change("case_00004", dim=lambda dim: [3, dim[1], dim[2], 3, 1, 1, 1, 1])
    done = _ingest(source, allowed_failures=0.9)
    assert (done.brought_in, done.refused) == (2, 4)
    reasons = dict(rows("SELECT case_name, error FROM open_problem"))
    for case, words in (
        ("case_00000", "expected one voxel size by sform and pixdim in "),
        ("case_00001", "expected voxels soon after the header"),
        ("case_00002", "got a file that is too short for them"),
        ("case_00004", "bytes after the last voxel"),
    ):
        assert words in reasons[case]
    ((notes,),) = rows("SELECT image_notes FROM case_overview WHERE case_name = 'case_00003'")
    assert json.loads(notes) == ["a fourth axis of length 1 was left out"]
    assert "case_00003, image: a fourth axis of length 1 was left out" in done.notes
    assert "case_00003, image: a fourth axis of length 1 was left out" in artifact("ingest")["data"]


def test_a_dataset_name_cannot_leave_the_home(source):
    with pytest.raises(ValidationError, match="expected a name of letters"):
        IngestParameters(source=str(source), dataset="../outside")


def test_secrets_in_an_address_are_refused_before_a_run_exists():
    with pytest.raises(KitsError, match="KITS_SOURCE_TOKEN") as caught:
        IngestParameters(source="https://me:secret@host.example/data")
    assert "secret" not in str(caught.value)


def test_the_preset_comes_from_its_two_hosts(phantoms, rows, monkeypatch, hasty):
    """As the public data lies: images behind a signed redirect, labels and records elsewhere, and busy hosts."""
    busy = [Fault("*", FaultKind.TOO_MANY_REQUESTS, 2, retry_after_s=1)]
    with Kits23Mirror(phantoms, image_faults=busy, storage_faults=[Fault("*", FaultKind.RESET, 2)]) as mirror:
        for name, value in vars(mirror.addresses).items():
            monkeypatch.setenv(f"KITS_KITS23_{name.upper()}", value)
        done = ingest(IngestParameters(source="kits23", cases="0-3"))
        assert (done.dataset, done.chosen, done.brought_in, done.refused) == ("kits23", 4, 4, 0)
        assert _stored_as_catalogued(rows)
        assert rows("SELECT revision FROM dataset") == [("images v-test, labels v-test",)]
        assert rows("SELECT COUNT(*) FROM clinical_record") == [(4,)]
        assert rows("SELECT DISTINCT phase FROM case_overview") == [("arterial",)]
        urls = rows("SELECT source_url FROM case_file WHERE kind = 'image'")
        assert not [url for (url,) in urls if "Signature" in url]
        before = sum(mirror.storage.bytes_sent.values())
        assert ingest(IngestParameters(source="kits23", cases="0-3")).brought_in == 0
        assert sum(mirror.storage.bytes_sent.values()) == before


_BAD_RECORDS = {
    "case_00001": '{"case_id": "case_00001", "age_at_nephrectomy": 1000000000000000000000000000000}',
    "case_00002": '{"case_id": "case_00002", "gender": "\\ud800"}',
    "case_00003": '{"case_id": "case_00003", "smoking_history": "a\\u0000b"}',
    "case_00004": '{"case_id": "case_00004", "bmi": 1e999}',
    "case_00005": f'{{"case_id": "case_00005", "comorbidities": {"[" * 200_000}{"]" * 200_000}}}',
}


def test_a_bad_clinical_record_costs_itself_and_is_an_open_problem(phantoms, rows, tmp_path):
    source = shutil.copytree(phantoms, tmp_path / "source")
    (source / "SHA256SUMS").unlink()
    records = {record["case_id"]: json.dumps(record) for record in json.loads((source / "kits23.json").read_text())}
    (source / "kits23.json").write_text(f"[{', '.join((records | _BAD_RECORDS).values())}]")
    done = _ingest(source)
    assert (done.brought_in, done.refused, len(done.notes)) == (8, 0, 5)
    assert {note[:10] for note in done.notes} == _BAD_RECORDS.keys()
    assert rows("SELECT COUNT(*) FROM clinical_record") == [(3,)]
    problems = rows("SELECT case_name, stage FROM open_problem")
    assert sorted(problems) == [(case, "clinical") for case in _BAD_RECORDS]
    (source / "kits23.json").write_text(f"[{', '.join(records.values())}]")
    assert _ingest(source).notes == ()
    assert rows("SELECT COUNT(*) FROM clinical_record") == [(8,)]
    assert rows("SELECT * FROM open_problem") == []


def test_clinical_records_that_are_no_json_are_refused_before_any_image_is_fetched(phantoms, rows, tmp_path):
    source = shutil.copytree(phantoms, tmp_path / "source")
    sums = (source / "SHA256SUMS").read_text().splitlines()
    (source / "SHA256SUMS").write_text("\n".join(line for line in sums if "case_" in line))
    (source / "kits23.json").write_text('[{"case_id": "case_0')
    with pytest.raises(KitsError, match="expected clinical records in JSON"):
        _ingest(source)
    assert rows("SELECT COUNT(*) FROM case_file") == [(0,)]


def test_clinical_records_that_cannot_be_fetched_leave_the_images_in_place(phantoms, rows, hasty):
    with DatasetServer(phantoms, [Fault("kits23.json", FaultKind.STATUS_503, times=8)]) as server:
        assert _ingest(server.address).brought_in == 8
        assert rows("SELECT COUNT(*) FROM clinical_record") == [(8,)]
    with (
        DatasetServer(phantoms, [Fault("kits23.json", FaultKind.STATUS_503, times=999)]) as server,
        pytest.raises(KitsError, match="503"),
    ):
        ingest(IngestParameters(source=server.address, dataset="again"))
    assert rows("SELECT COUNT(*) FROM case_overview WHERE status = 'ingested'") == [(16,)]


@pytest.mark.parametrize("over_http", [False, True])
def test_a_bag_comes_in_and_lines_that_were_not_read_are_said(phantoms, rows, tmp_path, over_http, artifact):
    bag = tmp_path / "bag"
    shutil.copytree(phantoms, bag / "data")
    lines = (bag / "data" / "SHA256SUMS").read_text().splitlines()
    (bag / "data" / "SHA256SUMS").unlink()
    listed = [f"{digest.upper()}  data/{path}" for digest, path in (line.split() for line in lines)]
    manifest = "\r\n".join([*listed, "what is this"])
    (bag / "manifest-sha256.txt").write_bytes(manifest.encode("utf-8-sig"))
    (bag / "bagit.txt").write_text("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    (bag / "data" / "case_00000" / "imaging.nii.gz").write_bytes(b"not what the manifest says")
    with DatasetServer(bag) as server:
        done = _ingest(server.address if over_http else bag, allowed_failures=0.2)
    assert (done.brought_in, done.refused) == (7, 1)
    assert "SHA-256" in rows("SELECT error FROM open_problem")[0][0]
    (note,) = done.notes
    assert f"1 line is no checksum of a file of the layout, and not used: the first is line {len(lines) + 1}" in note
    assert note in artifact("ingest")["data"]
    assert rows("SELECT COUNT(*) FROM clinical_record") == [(8,)]


def test_a_bag_with_sha512_alone_is_compared_with_it(phantoms, rows, tmp_path):
    bag = tmp_path / "bag"
    names = [f"case_0000{number}/{kind}.nii.gz" for number in (0, 1) for kind in ("imaging", "segmentation")]
    for name in names:
        (bag / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(phantoms / name, bag / "data" / name)
    hashes = [hashlib.sha512((bag / "data" / name).read_bytes()).hexdigest() for name in names]
    lines = [f"{digest}  data/{name}\n" for digest, name in zip(["0" * 128, *hashes[1:]], names, strict=True)]
    (bag / "manifest-sha512.txt").write_text("".join(lines))
    (bag / "bagit.txt").write_text("BagIt-Version: 1.0\n")
    done = _ingest(bag, allowed_failures=0.5)
    assert (done.brought_in, done.refused) == (1, 1)
    ((case, error),) = rows("SELECT case_name, error FROM open_problem")
    assert (case, "expected SHA-512 000" in error) == ("case_00000", True)
    lines = [f"{digest}  data/{name}\n" for digest, name in zip(hashes, names, strict=True)]
    (bag / "manifest-sha512.txt").write_text("".join(lines))
    assert _ingest(bag).brought_in == 1
    assert _ingest(bag).brought_in == 0


def test_a_link_that_leads_out_of_the_source_is_read_and_never_written_to(home, phantoms, tmp_path, rows):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(phantoms / "case_00000", elsewhere)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in elsewhere.iterdir()}
    source = tmp_path / "source" / "case_00000"
    source.mkdir(parents=True)
    for path in elsewhere.iterdir():
        (source / path.name).symlink_to(path)
    for keep in (False, True):
        ingest(IngestParameters(source=str(source.parent), dataset=f"linked-{keep}", keep_archives=keep))
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in elsewhere.iterdir()} == before
    assert not [path for path in home.rglob("*") if path.is_symlink()]
    assert rows("SELECT COUNT(*) FROM case_file") == [(4,)]
