import errno
import fcntl
import hashlib
import json
import os

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.server import DatasetServer
from kits_core.source import transfer
from kits_core.source.layout import Location
from kits_core.source.transfer import TransferError, fetch, open_client

_BODY = bytes(range(251)) * 4000
_SHA = hashlib.sha256(_BODY).hexdigest()
_NAME = "case_00000/imaging.nii.gz"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "case_00000").mkdir()
    (root / _NAME).write_bytes(_BODY)
    return root


def _leftovers(folder):
    return sorted(f.name for f in folder.iterdir())


def test_a_fetched_file_is_whole_and_leaves_nothing_beside_it(root, tmp_path):
    seen = []
    with DatasetServer(root) as server:
        found = fetch(f"{server.address}/{_NAME}", tmp_path / "f", expected_sha256=_SHA, on_bytes=seen.append)
    assert (tmp_path / "f").read_bytes() == _BODY
    assert (found.bytes, found.sha256, found.etag) == (len(_BODY), _SHA, f'"{_SHA}"')
    assert found.last_modified.endswith("GMT")
    assert found.url.endswith(_NAME)
    assert sum(seen) == len(_BODY)
    assert _leftovers(tmp_path) == ["f"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(have=st.integers(0, len(_BODY)))
def test_a_download_resumes_at_any_byte(root, tmp_path, have):
    target = tmp_path / f"f{have}"
    seen = []
    with DatasetServer(root) as server, open_client() as client:
        url = f"{server.address}/{_NAME}"
        target.with_name(f"{target.name}.partial").write_bytes(_BODY[:have])
        target.with_name(f"{target.name}.partial.json").write_text(json.dumps({"url": url, "etag": f'"{_SHA}"'}))
        found = fetch(url, target, client=client, on_bytes=seen.append)
        assert server.bytes_sent[_NAME] == len(_BODY) - have
    assert found.sha256 == _SHA
    assert target.read_bytes() == _BODY
    assert sum(seen) == len(_BODY)


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.TRUNCATE])
def test_a_broken_body_is_worth_a_retry_and_only_the_rest_is_asked_for(root, tmp_path, kind):
    with DatasetServer(root, [Fault("*", kind)]) as server:
        with pytest.raises(TransferError) as caught:
            fetch(f"{server.address}/{_NAME}", tmp_path / "f")
        assert caught.value.retryable
        assert not (tmp_path / "f").exists()
        assert fetch(f"{server.address}/{_NAME}", tmp_path / "f").sha256 == _SHA
        first, second = server.log
        # A reset may discard what the client had not read yet.
        assert 0 < second.start <= first.sent if kind is FaultKind.TRUNCATE else second.start <= first.sent
    assert _leftovers(tmp_path) == ["f"]


def test_a_stall_ends_by_the_read_timeout(root, tmp_path):
    faults = [Fault("*", FaultKind.STALL)]
    with DatasetServer(root, faults) as server, open_client(read_s=0.2) as client:
        with pytest.raises(TransferError, match="ReadTimeout") as caught:
            fetch(f"{server.address}/{_NAME}", tmp_path / "f", client=client)
        assert caught.value.retryable
        assert fetch(f"{server.address}/{_NAME}", tmp_path / "f", client=client).sha256 == _SHA


def test_a_flipped_bit_is_found_and_its_bytes_are_not_resumed(root, tmp_path):
    with DatasetServer(root, [Fault("*", FaultKind.BIT_FLIP)]) as server:
        with pytest.raises(TransferError, match="expected SHA-256") as caught:
            fetch(Location(f"{server.address}/{_NAME}", _SHA), tmp_path / "f")
        assert caught.value.retryable
        assert fetch(Location(f"{server.address}/{_NAME}", _SHA), tmp_path / "f").sha256 == _SHA
        assert server.log[1].start == 0


def test_the_linked_etag_alone_finds_a_flipped_bit_and_a_body_without_length(root, tmp_path):
    for kind in (FaultKind.BIT_FLIP, FaultKind.NO_LENGTH):
        with DatasetServer(root, [Fault("*", kind)]) as server, pytest.raises(TransferError, match="SHA-256"):
            fetch(f"{server.address}/{_NAME}", tmp_path / "f")


@pytest.mark.parametrize("kind", [FaultKind.NO_RANGES, FaultKind.CHANGED_ETAG])
def test_where_a_resume_is_not_granted_the_file_is_fetched_anew(root, tmp_path, kind):
    with DatasetServer(root, [Fault("*", FaultKind.TRUNCATE), Fault("*", kind)]) as server:
        url = f"{server.address}/{_NAME}"
        with pytest.raises(TransferError):
            fetch(url, tmp_path / "f")
        assert fetch(url, tmp_path / "f").sha256 == _SHA
        assert server.log[1].start == 0
        assert server.log[1].status == 200


def test_refusals_say_whether_and_when_to_come_back(root, tmp_path):
    faults = [Fault("*", FaultKind.TOO_MANY_REQUESTS, retry_after_s=9), Fault("*", FaultKind.STATUS_500)]
    faults += [Fault("*", FaultKind.STATUS_404), Fault("*", FaultKind.HTML)]
    expected = [(429, True, 9), (500, True, None), (404, False, None), (200, True, None)]
    with DatasetServer(root, faults) as server:
        for status, retryable, after in expected:
            with pytest.raises(TransferError) as caught:
                fetch(f"{server.address}/{_NAME}", tmp_path / "f")
            error = caught.value
            assert (error.status, error.retryable, error.retry_after_s) == (status, retryable, after)
        assert fetch(f"{server.address}/{_NAME}", tmp_path / "f").sha256 == _SHA


def test_a_partial_of_another_address_or_without_sidecar_is_not_used(root, tmp_path):
    partial = tmp_path / "f.partial"
    with DatasetServer(root) as server:
        for sidecar in ({"url": "http://other/x", "etag": f'"{_SHA}"'}, {"nonsense": 1}, None):
            partial.write_bytes(b"rubbish")
            if sidecar:
                (tmp_path / "f.partial.json").write_text(json.dumps(sidecar))
            assert fetch(f"{server.address}/{_NAME}", tmp_path / "f").sha256 == _SHA
    assert _leftovers(tmp_path) == ["f"]


def test_a_partial_longer_than_the_file_is_dropped(root, tmp_path):
    with DatasetServer(root) as server:
        url = f"{server.address}/{_NAME}"
        (tmp_path / "f.partial").write_bytes(_BODY + b"more")
        (tmp_path / "f.partial.json").write_text(json.dumps({"url": url, "etag": f'"{_SHA}"'}))
        with pytest.raises(TransferError, match="changed between") as caught:
            fetch(url, tmp_path / "f")
        assert caught.value.retryable
        assert fetch(url, tmp_path / "f").sha256 == _SHA


def test_two_downloads_of_one_file_do_not_mix(root, tmp_path):
    with DatasetServer(root) as server, (tmp_path / "f.partial").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TransferError, match="another download") as caught:
            fetch(f"{server.address}/{_NAME}", tmp_path / "f")
    assert caught.value.retryable


def test_a_planted_link_is_not_written_through(root, tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "f.partial").symlink_to(tmp_path / "victim")
    with DatasetServer(root) as server, pytest.raises(OSError, match="symbolic"):
        fetch(f"{server.address}/{_NAME}", tmp_path / "f")
    assert (tmp_path / "victim").read_text() == "precious"


def test_files_of_a_folder_are_copied_and_hashed(root, tmp_path):
    seen = []
    found = fetch(Location(str(root / _NAME), _SHA.upper()), tmp_path / "a" / "f", on_bytes=seen.append)
    assert (tmp_path / "a" / "f").read_bytes() == _BODY
    assert (found.sha256, found.etag, sum(seen)) == (_SHA, None, len(_BODY))
    with pytest.raises(TransferError, match="expected SHA-256") as caught:
        fetch(str(root / _NAME), tmp_path / "g", expected_sha256="00" * 32)
    assert not caught.value.retryable
    with pytest.raises(TransferError, match="cannot be read") as caught:
        fetch(str(root / "none"), tmp_path / "g")
    assert not caught.value.retryable
    assert not (tmp_path / "g").exists()


def test_a_full_disk_is_not_worth_a_retry(root, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(transfer.os, "fsync", full)
    with DatasetServer(root) as server, pytest.raises(TransferError, match="no room") as caught:
        fetch(f"{server.address}/{_NAME}", tmp_path / "f")
    assert not caught.value.retryable


def test_answers_that_cannot_be_trusted(tmp_path):
    def client(status, headers, content=b"data"):
        return httpx.Client(
            transport=httpx.MockTransport(
                lambda _: httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))
            )
        )

    with client(200, {"Content-Encoding": "gzip"}) as c, pytest.raises(TransferError, match="compresses"):
        fetch("http://a/x", tmp_path / "f", client=c)
    with client(200, {"Content-Length": "9"}) as c, pytest.raises(TransferError, match="expected 9 bytes, got 4"):
        fetch("http://a/x", tmp_path / "f", client=c)
    with client(206, {"Content-Range": "bytes 7-10/20"}) as c, pytest.raises(TransferError, match="another range"):
        fetch("http://a/x", tmp_path / "f", client=c)
    with client(200, {"ETag": 'W/"weak"'}) as c:
        assert fetch("http://a/x", tmp_path / "f", client=c).etag == 'W/"weak"'
    with client(200, {"X-Linked-Size": "5"}) as c, pytest.raises(TransferError, match="expected 5 bytes"):
        fetch("http://a/x", tmp_path / "g", client=c)
    # GitHub's raw files carry 64 digits in the ETag that are not the content's SHA-256.
    with client(200, {"ETag": f'"{"ab" * 32}"'}) as c:
        assert fetch("http://a/x", tmp_path / "f", client=c).bytes == 4
    linked = f'"{hashlib.sha256(b"other").hexdigest()}"'
    with client(200, {"X-Linked-ETag": linked}) as c, pytest.raises(TransferError, match="expected SHA-256"):
        fetch("http://a/x", tmp_path / "h", client=c)
