import hashlib
import json
import os
import pickle

import pytest

from kits_core.errors import CaseError, KitsError
from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.server import DatasetServer
from kits_core.source.layout import (
    FolderSource,
    HttpSource,
    Kits23Source,
    Source,
    open_source,
    parse_sums,
)
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
    with pytest.raises(KitsError, match="none of these"):
        open_source(str(loose))
    (loose / "patient1.nii.gz").write_bytes(b"x")
    with pytest.raises(KitsError, match=r"expected folders case_00000.*1 loose NIfTI files; move each scan"):
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


def test_names_in_sums_never_leave_the_layout():
    wanted = "case_00000/imaging.nii.gz"
    hostile = [
        "../../etc/passwd",
        "/etc/passwd",
        "case_00000/../x",
        "case_00000/imaging.nii.gz/../../x",
        "case_0/imaging.nii.gz",
    ]
    text = "".join(f"{_HASH}  {name}\n" for name in [*hostile, wanted, f"./{wanted}"]) + "nonsense\n\n"
    assert parse_sums(text) == {wanted: _HASH}
    assert parse_sums(f"{_HASH.upper()} *{wanted}\r\n") == {wanted: _HASH}


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
