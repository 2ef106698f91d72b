import hashlib
import os
import threading

import pytest

from kits_core.phantom.dataset import write_phantoms
from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.server import DatasetServer
from kits_core.source.convert import convert_image
from kits_core.source.growing import BrokenOffError, Growing, read_on_arrival
from kits_core.source.location import Location
from kits_core.source.transfer import Transfer, TransferError, TransferPolicy

_NAME = "case_00000/imaging.nii.gz"
_BODY = bytes(range(251)) * 20_000
_HASTY = TransferPolicy(backoff_s=0.01, longest_backoff_s=0.05, read_s=0.3)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "case_00000").mkdir(parents=True)
    (tmp_path / "root" / _NAME).write_bytes(_BODY)
    return tmp_path / "root"


def _read(growing):
    with growing.open("rb") as stream:
        return stream.read()


def _bring(server, target, read, sha256=None, policy=_HASTY):
    location = Location(f"{server.address}/{_NAME}", sha256)
    with Transfer(policy) as transfer:
        return read_on_arrival(target, lambda growing: transfer.fetch(location, target, growing=growing), read)


def test_a_file_is_read_while_it_arrives(root, tmp_path):
    first_piece = threading.Event()

    def read(growing):
        with growing.open("rb") as stream:
            start = stream.read(1000)
            first_piece.set()
            return start + stream.read()

    growing_while_waiting = []

    def on_the_way(growing):
        with Transfer() as transfer, DatasetServer(root) as server:
            grew = growing.grew

            def slowly(size):
                grew(size)
                if not growing_while_waiting:
                    growing_while_waiting.append(first_piece.wait(10) and size < len(_BODY))

            growing.grew = slowly
            return transfer.fetch(f"{server.address}/{_NAME}", tmp_path / "f", growing=growing)

    fetched, found = read_on_arrival(tmp_path / "f", on_the_way, read)
    assert found == _BODY
    assert fetched.bytes == len(_BODY)
    assert growing_while_waiting == [True]


@pytest.mark.parametrize("source", ["host", "folder"])
def test_what_is_read_is_the_file(root, tmp_path, source):
    with DatasetServer(root) as server, Transfer() as transfer:
        address = f"{server.address}/{_NAME}" if source == "host" else str(root / _NAME)
        fetch = lambda growing: transfer.fetch(address, tmp_path / "f", growing=growing)  # noqa: E731
        _, found = read_on_arrival(tmp_path / "f", fetch, _read)
    assert found == _BODY == (tmp_path / "f").read_bytes()


def test_bytes_of_an_earlier_run_are_read_too(root, tmp_path):
    with DatasetServer(root, [Fault("*", FaultKind.RESET)]) as server:
        with Transfer(TransferPolicy(attempts=1)) as transfer, pytest.raises(TransferError):
            transfer.fetch(f"{server.address}/{_NAME}", tmp_path / "f")
        assert (tmp_path / "f.partial").stat().st_size > 0
        _, found = _bring(server, tmp_path / "f", _read)
    assert found == _BODY


def test_a_download_that_begins_again_voids_what_was_read(tmp_path):
    (tmp_path / "f.partial").write_bytes(_BODY)
    growing = Growing(tmp_path / "f")
    growing.begin(tmp_path / "f.partial", 0)
    with growing.open() as before:
        growing.grew(2_000_000)
        assert before.read(1_000_000) == _BODY[:1_000_000]
        growing.begin(tmp_path / "f.partial", 0)
        growing.grew(len(_BODY))
        growing.end(finished=True)
        with pytest.raises(BrokenOffError):
            before.read()
    assert _read(growing) == _BODY
    growing.close()


def test_a_file_cut_before_the_download_says_that_it_begins_again_has_no_end(tmp_path):
    partial = tmp_path / "f.partial"
    partial.write_bytes(_BODY)
    growing = Growing(tmp_path / "f")
    growing.begin(partial, len(_BODY))
    with growing.open() as before:
        assert before.read(1000) == _BODY[:1000]
        os.truncate(partial, 0)
        with pytest.raises(BrokenOffError):
            before.read()
    growing.close()


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.TRUNCATE])
def test_what_is_read_of_a_broken_download_is_right_or_void(root, tmp_path, kind):
    with DatasetServer(root, [Fault("*", kind)]) as server:
        fetched, found = _bring(server, tmp_path / "f", _read)
    assert found in (None, _BODY)
    assert fetched.sha256 == hashlib.sha256(_BODY).hexdigest()


def test_nobody_sees_the_end_of_a_file_with_a_wrong_hash(root, tmp_path):
    ends = []

    def read(growing):
        ends.append(_read(growing))

    with DatasetServer(root) as server, pytest.raises(TransferError, match="expected SHA-256"):
        _bring(server, tmp_path / "f", read, sha256="0" * 64, policy=TransferPolicy(attempts=2, backoff_s=0.01))
    assert ends == []


def test_a_reader_that_fails_does_not_fail_the_download(root, tmp_path):
    def read(growing):
        growing.open("rb").read(10)
        raise ValueError("no good")

    with DatasetServer(root) as server:
        fetched, found = _bring(server, tmp_path / "f", read)
    assert found is None
    assert fetched.bytes == len(_BODY)


def test_a_reader_of_a_download_that_never_begins_is_let_go(tmp_path):
    growing = Growing(tmp_path / "f")
    growing.end(finished=False)
    with pytest.raises(BrokenOffError):
        _read(growing)


def test_a_scan_converted_on_arrival_is_the_scan_converted_later(tmp_path):
    write_phantoms(tmp_path / "root", 1, 4, shape=(24, 64, 64), spacing_mm=(8.0, 5.0, 5.0))
    with DatasetServer(tmp_path / "root") as server:
        _, found = _bring(server, tmp_path / "f.nii.gz", lambda growing: convert_image(growing, tmp_path / "a.nii"))
    later = convert_image(tmp_path / "f.nii.gz", tmp_path / "b.nii")
    assert found.sha256 == later.sha256
    assert (tmp_path / "a.nii").read_bytes() == (tmp_path / "b.nii").read_bytes()
