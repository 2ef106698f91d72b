import hashlib
import json
import os
import pickle

import pytest

from kits_core.errors import CaseError, KitsError
from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.server import DatasetServer
from kits_core.source.kits23 import Kits23Source
from kits_core.source.layouts.kits import FolderSource, HttpSource
from kits_core.source.location import Source
from kits_core.source.opening import open_source
from kits_core.source.preset import Kits23Addresses
from kits_core.source.transfer import Transfer, TransferError, TransferPolicy

_HASH = "ab" * 32


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for name, files in {"case_00000": ("imaging", "segmentation"), "case_00001": ("imaging",)}.items():
        (root / name).mkdir(parents=True)
        for file in files:
            (root / name / f"{file}.nii.gz").write_bytes(b"x")
    (root / "kits23.json").write_text(json.dumps([{"case_id": "case_00000"}, {"case_id": "case_00001"}]))
    return root


def _sums(root, *files):
    (root / "SHA256SUMS").write_text("".join(f"{_HASH}  {f}\n" for f in files))


def test_a_folder_tells_its_cases_and_which_have_a_segmentation(folder):
    _sums(folder, "case_00000/imaging.nii.gz")
    source: Source = open_source(str(folder))
    assert isinstance(source, FolderSource)
    assert source.cases() == ("case_00000", "case_00001")
    assert (source.name, source.address) == ("data", str(folder))
    first, second = (source.locate(c) for c in source.cases())
    assert first.image.address == str(folder / "case_00000/imaging.nii.gz")
    assert first.image.sha256 == _HASH
    assert first.segmentation is not None
    assert first.segmentation.sha256 is None
    assert second.segmentation is None
    assert source.clinical().address.endswith("kits23.json")
    assert source.phase("case_00000") is None


def test_the_folder_above_dataset_will_do(folder, tmp_path):
    folder.rename(tmp_path / "dataset")
    assert open_source(str(tmp_path)).address == str(tmp_path / "dataset")


def test_other_folders_are_refused_with_what_is_expected(folder, tmp_path):
    loose = tmp_path / "loose"
    loose.mkdir()
    with pytest.raises(KitsError, match="got an empty folder"):
        open_source(str(loose))
    (loose / "patient1.nii.gz").write_bytes(b"x")
    with pytest.raises(KitsError, match=r"\[kits\] folders case_00000.*\[nnunet\].*\[pairs\].*; got patient1.nii.gz;"):
        open_source(str(loose))
    for file in folder.glob("*/imaging.nii.gz"):
        file.unlink()
    with pytest.raises(KitsError, match="without any imaging"):
        open_source(str(folder))


def test_a_case_without_image_or_with_an_odd_name_is_named(folder):
    (folder / "case_00001/imaging.nii.gz").unlink()
    with pytest.raises(CaseError, match=r"case_00001: expected imaging.nii.gz"):
        open_source(str(folder)).locate("case_00001")
    with pytest.raises(CaseError, match="no such folder"):
        open_source(str(folder)).locate("case_00009")
    with pytest.raises(CaseError, match="five digits"):
        open_source(str(folder)).locate("../data")
    (folder / "case_7").mkdir()
    with pytest.raises(CaseError, match="case_7"):
        open_source(str(folder))


@pytest.mark.parametrize("text", ["kits19", "/no/such/folder", "ftp://host/data", "s3://bucket/x"])
def test_what_is_no_source_is_refused(text):
    with pytest.raises(KitsError, match="expected"):
        open_source(text)


def test_a_url_is_read_from_its_sums(folder):
    _sums(
        folder,
        "case_00000/imaging.nii.gz",
        "case_00000/segmentation.nii.gz",
        "case_00001/imaging.nii.gz",
        "kits23.json",
    )
    with DatasetServer(folder) as server:
        source: Source = open_source(server.address + "/")
        assert isinstance(source, HttpSource)
        assert source.cases() == ("case_00000", "case_00001")
        located = source.locate("case_00000")
        assert located.image.address == f"{server.address}/case_00000/imaging.nii.gz"
        assert located.image.sha256 == located.segmentation.sha256 == _HASH
        assert source.locate("case_00001").segmentation is None
        assert source.clinical().sha256 == _HASH
        assert source.phase("case_00000") is None
        with pytest.raises(CaseError, match="2 others"):
            source.locate("case_00002")


def test_a_url_without_sums_is_read_from_its_records(folder):
    with DatasetServer(folder) as server:
        source = open_source(server.address)
    assert source.cases() == ("case_00000", "case_00001")
    assert source.locate("case_00001").segmentation.may_be_missing
    assert source.clinical() is not None
    assert HttpSource("https://host/some/where/", ()).name == "host/where"


def test_a_url_without_either_and_one_that_fails(folder):
    (folder / "kits23.json").unlink()
    with (
        DatasetServer(folder) as server,
        pytest.raises(KitsError, match=r"expected SHA256SUMS or .* or kits23\.json"),
    ):
        open_source(server.address)
    hasty = Transfer(TransferPolicy(attempts=2, backoff_s=0.01))
    with DatasetServer(folder, [Fault("*", FaultKind.STATUS_503, 9)]) as server, pytest.raises(TransferError) as caught:
        open_source(server.address, transfer=hasty)
    assert len(server.log) == 2
    assert caught.value.retryable
    (folder / "kits23.json").write_text('{"a": 1}')
    with DatasetServer(folder) as server, pytest.raises(KitsError, match="list of records"):
        open_source(server.address)


def test_one_bad_record_at_a_url_without_sums_costs_itself(folder):
    (folder / "kits23.json").write_text('[{"case_id": "case_00000"}, {"case_id": "patient 7"}]')
    with DatasetServer(folder) as server:
        source = open_source(server.address)
    assert source.cases() == ("case_00000",)
    (note,) = source.notes
    assert note.startswith("record 2: expected a case_id like case_00042 (case_ and five digits), got 'patient 7'; ")


def test_the_preset_knows_all_cases_and_phases():
    source: Source = open_source("kits23", addresses=Kits23Addresses(image_revision="abc"))
    assert isinstance(source, Kits23Source)
    assert len(source.cases()) == 489
    assert "/abc/images/case_00500.nii.gz" in source.locate("case_00500").image.address
    assert source.locate("case_00500").segmentation is not None
    assert source.phase("case_00500") == "nephrogenic"
    assert source.clinical().address.endswith("kits23.json")
    assert source.name == "kits23"
    assert source.address.endswith("/abc")
    with pytest.raises(CaseError, match="0 to 299 or 400 to 588"):
        source.locate("case_00300")


def test_sources_and_errors_cross_process_boundaries(folder):
    source = open_source(os.fspath(folder))
    assert pickle.loads(pickle.dumps(source)) == source
    error = TransferError("http://x", "why", retryable=True, retry_after_s=3, status=429)
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.retryable, copy.retry_after_s, copy.status) == (str(error), True, 3, 429)


def test_a_bagit_manifest_is_read_as_well(tmp_path):
    case = tmp_path / "case_00003"
    case.mkdir()
    (case / "imaging.nii.gz").write_bytes(b"scan")
    digest = hashlib.sha256(b"scan").hexdigest()
    (tmp_path / "manifest-sha256.txt").write_text(f"{digest} case_00003/imaging.nii.gz\n")
    assert open_source(str(tmp_path)).locate("case_00003").image.sha256 == digest


_CONTENT = {
    "case_00000/imaging.nii.gz": b"scan",
    "case_00000/segmentation.nii.gz": b"labels",
    "case_00001/imaging.nii.gz": b"other",
    "kits23.json": b'[{"case_id": "case_00000"}]',
}


def _bag(root, algorithm="sha256"):
    """A bag as RFC 8493 has it, with tag files beside the payload."""
    lines = []
    for path, content in _CONTENT.items():
        (root / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "data" / path).write_bytes(content)
        lines.append(f"{hashlib.new(algorithm, content).hexdigest()}  data/{path}\n")
    (root / f"manifest-{algorithm}.txt").write_text("".join(lines))
    (root / "bagit.txt").write_text("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    (root / "bag-info.txt").write_text("Contact-Name: someone\n")
    return root


@pytest.mark.parametrize("place", [".", "data"])
def test_a_bag_is_read_as_a_folder(tmp_path, place):
    source = open_source(str(_bag(tmp_path / "site1") / place))
    assert (source.name, source.cases(), source.notes) == ("site1", ("case_00000", "case_00001"), ())
    located = source.locate("case_00000")
    assert located.image.address == str(tmp_path / "site1/data/case_00000/imaging.nii.gz")
    for location, path in (
        (located.image, "case_00000/imaging.nii.gz"),
        (located.segmentation, "case_00000/segmentation.nii.gz"),
        (source.clinical(), "kits23.json"),
    ):
        assert location.sha256 == hashlib.sha256(_CONTENT[path]).hexdigest()


def test_a_bag_is_read_over_http(tmp_path):
    with DatasetServer(_bag(tmp_path / "site1")) as server, Transfer() as transfer:
        source = open_source(server.address)
        assert (source.address, source.cases(), source.notes) == (server.address, ("case_00000", "case_00001"), ())
        assert source.locate("case_00001").segmentation is None
        for location in (source.locate("case_00000").image, source.clinical()):
            transfer.fetch(location, tmp_path / "here")
            assert location.sha256 == hashlib.sha256((tmp_path / "here").read_bytes()).hexdigest()


def test_a_bag_with_sha512_alone_is_read_as_well(tmp_path):
    bag = _bag(tmp_path / "site1", "sha512")
    with DatasetServer(bag) as server:
        for source in (open_source(str(bag)), open_source(server.address)):
            assert source.cases() == ("case_00000", "case_00001")
            image = source.locate("case_00000").image
            expected = hashlib.sha512(_CONTENT["case_00000/imaging.nii.gz"]).hexdigest()
            assert (image.sha256, image.sha512) == (None, expected)
            assert source.locate("case_00001").segmentation is None
            assert source.clinical() is not None
            assert source.notes == ()


def test_sums_beside_the_official_folder_count(folder, tmp_path):
    folder.rename(tmp_path / "dataset")
    _sums(tmp_path, "dataset/case_00000/imaging.nii.gz")
    assert open_source(str(tmp_path)).locate("case_00000").image.sha256 == _HASH


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_sums_as_windows_writes_them_lose_no_line(folder, encoding):
    names = [r"case_00000\imaging.nii.gz", r"case_00000\segmentation.nii.gz", r".\case_00001\imaging.nii.gz"]
    text = "".join(f"{_HASH.upper()} *{name}\r\n" for name in names)
    (folder / "SHA256SUMS").write_bytes(text.encode(encoding))
    with DatasetServer(folder) as server:
        for source in (open_source(str(folder)), open_source(server.address)):
            assert source.cases() == ("case_00000", "case_00001")
            assert source.locate("case_00000").image.sha256 == _HASH
            assert source.locate("case_00001").image.sha256 == _HASH
            assert source.notes == ()


def test_lines_that_are_not_understood_are_said(folder):
    (folder / "SHA256SUMS").write_text(f"{_HASH}  case_00000/imaging.nii.gz\n{_HASH[1:]}  case_00001/imaging.nii.gz\n")
    with DatasetServer(folder) as server:
        for source in (open_source(str(folder)), open_source(server.address)):
            (note,) = source.notes
            assert note.startswith("SHA256SUMS: 1 line is no checksum")
            assert "the first is line 2, " in note
        assert source.cases() == ("case_00000",)


def test_listed_files_that_are_not_there_are_said(folder):
    _sums(folder, "case_00000/imaging.nii.gz", "case_00001/segmentation.nii.gz")
    (note,) = open_source(str(folder)).notes
    assert note == "1 listed files are not in the folder (the first is case_00001/segmentation.nii.gz); copy them again"
