import errno
import fcntl
import gzip
import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx
import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kits_core.phantom.dataset import write_phantoms
from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.mirror import Kits23Mirror
from kits_core.phantom.server import DatasetServer, Hashes
from kits_core.source import download
from kits_core.source.location import Location
from kits_core.source.transfer import Known, Transfer, TransferError, TransferPolicy, redacted

_BODY = bytes(range(251)) * 4000
_SHA = hashlib.sha256(_BODY).hexdigest()
_NAME = "case_00000/imaging.nii.gz"
_ONCE = TransferPolicy(attempts=1, read_s=0.3)
_HASTY = TransferPolicy(
    backoff_s=0.01, longest_backoff_s=0.05, read_s=0.3, stall_window_s=0.3, least_bytes_per_s=50_000
)


def fetch(location, target, policy=_ONCE, **options):
    """One attempt unless the policy says otherwise."""
    with Transfer(policy) as transfer:
        return transfer.fetch(location, target, **options)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    (root / "case_00000").mkdir()
    (root / _NAME).write_bytes(_BODY)
    return root


def _leftovers(folder):
    return sorted(f.name for f in folder.iterdir())


def test_a_fetched_file_is_whole_and_leaves_nothing_beside_it(root, tmp_path):
    with DatasetServer(root) as server:
        found = fetch(Location(f"{server.address}/{_NAME}", _SHA), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == _BODY
    assert (found.bytes, found.sha256, found.etag) == (len(_BODY), _SHA, f'"{_SHA}"')
    assert found.last_modified.endswith("GMT")
    assert found.url.endswith(_NAME)
    assert _leftovers(tmp_path) == ["f"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(have=st.integers(0, len(_BODY)))
def test_a_download_resumes_at_any_byte(root, tmp_path, have):
    target = tmp_path / f"f{have}"
    with DatasetServer(root) as server:
        url = f"{server.address}/{_NAME}"
        target.with_name(f"{target.name}.partial").write_bytes(_BODY[:have])
        target.with_name(f"{target.name}.partial.json").write_text(json.dumps({"url": url, "etag": f'"{_SHA}"'}))
        found = fetch(url, target)
        assert server.bytes_sent[_NAME] == len(_BODY) - have
    assert found.sha256 == _SHA
    assert target.read_bytes() == _BODY


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
    with DatasetServer(root, [Fault("*", FaultKind.STALL)]) as server:
        with pytest.raises(TransferError, match="ReadTimeout") as caught:
            fetch(f"{server.address}/{_NAME}", tmp_path / "f")
        assert caught.value.retryable
        assert fetch(f"{server.address}/{_NAME}", tmp_path / "f").sha256 == _SHA


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


def test_parts_of_two_versions_are_never_joined_even_by_a_host_that_ignores_if_range(root, tmp_path):
    with DatasetServer(
        root, [Fault("*", FaultKind.TRUNCATE), Fault("*", FaultKind.SPLICE)], hashes=Hashes.NONE
    ) as host:
        url = f"{host.address}/{_NAME}"
        with pytest.raises(TransferError, match="expected"):
            fetch(url, tmp_path / "f")
        with pytest.raises(TransferError, match="changed between two attempts") as caught:
            fetch(url, tmp_path / "f")
        assert (host.log[1].status, caught.value.retryable) == (206, True)
        assert fetch(url, tmp_path / "f").sha256 == _SHA
        assert host.log[2].start == 0


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
    found = fetch(Location(str(root / _NAME), _SHA.upper()), tmp_path / "a" / "f")
    assert (tmp_path / "a" / "f").read_bytes() == _BODY
    facts = (root / _NAME).stat()
    assert (found.sha256, found.etag) == (_SHA, f"{facts.st_size}-{facts.st_mtime_ns}")
    with pytest.raises(TransferError, match="expected SHA-256") as caught:
        fetch(Location(str(root / _NAME), "00" * 32), tmp_path / "g")
    assert not caught.value.retryable
    with pytest.raises(TransferError, match="cannot be read") as caught:
        fetch(str(root / "none"), tmp_path / "g")
    assert not caught.value.retryable
    assert not (tmp_path / "g").exists()


def test_a_full_disk_is_not_worth_a_retry(root, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download.Download, "finish", full)
    with DatasetServer(root) as server, pytest.raises(TransferError, match="no room") as caught:
        fetch(f"{server.address}/{_NAME}", tmp_path / "f")
    assert not caught.value.retryable


def test_answers_that_cannot_be_trusted(tmp_path):
    def answered(status, headers, content=b"data", target="f"):
        with Transfer(_ONCE) as transfer:
            transfer._client = httpx.Client(
                transport=httpx.MockTransport(
                    lambda _: httpx.Response(status, headers=headers, stream=httpx.ByteStream(content))
                )
            )
            return transfer.fetch("http://a/x", tmp_path / target)

    with pytest.raises(TransferError, match="compresses"):
        answered(200, {"Content-Encoding": "gzip"})
    with pytest.raises(TransferError, match="expected 9 bytes, got 4"):
        answered(200, {"Content-Length": "9"})
    with pytest.raises(TransferError, match="expected 3 bytes, got more than 3"):
        answered(200, {"X-Linked-Size": "3"})
    with pytest.raises(TransferError, match="another range"):
        answered(206, {"Content-Range": "bytes 7-10/20"})
    assert answered(200, {"ETag": 'W/"weak"'}).etag == 'W/"weak"'
    with pytest.raises(TransferError, match="expected 5 bytes"):
        answered(200, {"X-Linked-Size": "5"}, target="g")
    linked = f'"{hashlib.sha256(b"other").hexdigest()}"'
    with pytest.raises(TransferError, match="expected SHA-256"):
        answered(200, {"X-Linked-ETag": linked}, target="h")


def test_a_burst_is_outlasted_and_every_wait_is_told(root, tmp_path):
    told = []
    with DatasetServer(root, [Fault("*", FaultKind.STATUS_503, 4)]) as server:
        fetch(
            f"{server.address}/{_NAME}",
            tmp_path / "f",
            _HASTY,
            on_retry=lambda error, s: told.append((error.status, s)),
        )
    assert [status for status, _ in told] == [503] * 4
    assert all(0 < seconds <= 0.05 for _, seconds in told)


def test_attempts_without_progress_are_counted_and_progress_starts_the_count_again(root, tmp_path):
    policy = replace(_HASTY, attempts=3)
    with DatasetServer(root, [Fault("*", FaultKind.STATUS_500, 9)]) as server, pytest.raises(TransferError):
        fetch(f"{server.address}/{_NAME}", tmp_path / "f", policy)
    assert len(server.log) == 3
    with DatasetServer(root, [Fault("*", FaultKind.TRUNCATE, 9)]) as server:
        assert fetch(f"{server.address}/{_NAME}", tmp_path / "f", policy).sha256 == _SHA
    assert len(server.log) == 10


def test_retry_after_is_the_least_wait_and_too_long_a_one_ends_it(root, tmp_path):
    with DatasetServer(root, [Fault("*", FaultKind.TOO_MANY_REQUESTS, retry_after_s=1)]) as server:
        start = time.monotonic()
        fetch(f"{server.address}/{_NAME}", tmp_path / "f", _HASTY)
        assert time.monotonic() - start >= 1
    faults = [Fault("*", FaultKind.TOO_MANY_REQUESTS, retry_after_s=3600)]
    with DatasetServer(root, faults) as server, pytest.raises(TransferError, match="429"):
        fetch(f"{server.address}/{_NAME}", tmp_path / "f", _HASTY)
    assert len(server.log) == 1


def test_what_a_retry_cannot_mend_is_asked_for_once(root, tmp_path):
    with DatasetServer(root, [Fault("*", FaultKind.STATUS_404, 9)]) as server, pytest.raises(TransferError):
        fetch(f"{server.address}/{_NAME}", tmp_path / "f", _HASTY)
    assert len(server.log) == 1


def test_a_drip_is_broken_off_and_resumed(root, tmp_path):
    told = []
    with DatasetServer(root, [Fault("*", FaultKind.DRIP)]) as server:
        found = fetch(
            f"{server.address}/{_NAME}", tmp_path / "f", _HASTY, on_retry=lambda error, _: told.append(error.reason)
        )
    assert found.sha256 == _SHA
    assert told == ["the connection has almost stalled"]
    assert max(served.start for served in server.log) > 0


def test_the_cap_holds_over_all_threads_and_is_no_stall(root, tmp_path):
    cap = 2_000_000
    policy = replace(_HASTY, bytes_per_s=cap, least_bytes_per_s=cap)
    with DatasetServer(root) as server, Transfer(policy) as transfer, ThreadPoolExecutor(4) as pool:
        start = time.monotonic()
        url = f"{server.address}/{_NAME}"
        list(pool.map(lambda n: transfer.fetch(url, tmp_path / f"f{n}"), range(4)))
        rate = 4 * len(_BODY) / (time.monotonic() - start)
    assert 0.6 * cap < rate < 1.1 * cap


def test_a_plain_etag_is_a_claim_that_a_second_download_settles(root, tmp_path):
    url = "{}/" + _NAME
    with DatasetServer(root, hashes=Hashes.OTHER) as server:
        assert fetch(url.format(server.address), tmp_path / "f", _HASTY).sha256 == _SHA
    assert [(served.status, served.start) for served in server.log] == [(200, 0), (200, 0)]
    with DatasetServer(root, [Fault("*", FaultKind.BIT_FLIP)], hashes=Hashes.ETAG) as server:
        assert fetch(url.format(server.address), tmp_path / "f", _HASTY).sha256 == _SHA
    assert len(server.log) == 2
    with DatasetServer(root, hashes=Hashes.ETAG) as server:
        fetch(url.format(server.address), tmp_path / "f", _HASTY)
    assert len(server.log) == 1


class _Elsewhere(DatasetServer):
    """Sends everyone to another address, and keeps what they said."""

    def __init__(self, root, target):
        super().__init__(root)
        self.target, self.authorised = target, []

    def redirect(self, target):
        return {"Location": self.target} if self.target else None


def _seen_headers(monkeypatch):
    seen = []
    send = httpx.Client.send

    def spy(client, request, **options):
        seen.append((str(request.url), request.headers.get("Authorization")))
        return send(client, request, **options)

    monkeypatch.setattr(httpx.Client, "send", spy)
    return seen


def test_a_token_goes_to_its_own_host_alone(root, tmp_path, monkeypatch):
    seen = _seen_headers(monkeypatch)
    with DatasetServer(root) as storage, _Elsewhere(root, f"{storage.address}/{_NAME}?X-Signature=abc") as hub:
        host = hub.address.removeprefix("http://")
        with Transfer(_ONCE, bearer={host: "s3cret"}) as transfer:
            transfer.fetch(f"{hub.address}/{_NAME}", tmp_path / "f")
            transfer.fetch(f"{storage.address}/{_NAME}", tmp_path / "g")
    assert [authorisation for _, authorisation in seen] == ["Bearer s3cret", None, None]
    with (
        Transfer(_ONCE, bearer={"far.example": "s3cret"}) as transfer,
        pytest.raises(TransferError, match="over https only"),
    ):
        transfer.fetch("http://far.example/x", tmp_path / "h")
    assert len(seen) == 3


def test_no_message_shows_a_secret(root, tmp_path):
    assert redacted("https://me:pw@host:8443/a/b?token=t#f") == "https://host:8443/a/b"
    assert redacted("/home/me/a?b") == "/home/me/a?b"
    with DatasetServer(root) as storage, _Elsewhere(root, f"{storage.address}/gone?X-Signature=s3cret") as hub:
        url = f"{hub.address.replace('://', '://me:s3cret@')}/{_NAME}?token=s3cret"
        with pytest.raises(TransferError, match="404") as caught:
            fetch(url, tmp_path / "f")
        assert "s3cret" not in str(caught.value)
    with DatasetServer(root) as server:
        assert fetch(f"{server.address}/{_NAME}?token=s3cret", tmp_path / "f").url == f"{server.address}/{_NAME}"


def test_a_proxy_of_the_environment_is_used(root, tmp_path, monkeypatch):
    with DatasetServer(root) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address)
        monkeypatch.setenv("no_proxy", "")
        # To a proxy the whole address is the target; this one serves the path of it.
        assert fetch(f"http://far.example/{_NAME}", tmp_path / "f").sha256 == _SHA


@pytest.mark.parametrize("hashes", list(Hashes))
def test_a_probe_tells_size_and_change_in_one_request(root, tmp_path, hashes):
    with DatasetServer(root, hashes=hashes) as server, Transfer(_HASTY) as transfer:
        url = f"{server.address}/{_NAME}"
        fresh = transfer.probe(url)
        assert (fresh.changed, fresh.bytes, fresh.voxels) == (True, len(_BODY), None)
        found = transfer.fetch(url, tmp_path / "f")
        asked = len(server.log)
        assert not transfer.probe(url, Known(found.etag, found.last_modified, found.bytes)).changed
        assert not transfer.probe(url, Known(None, found.last_modified, found.bytes)).changed
        assert transfer.probe(url, Known('"other"', found.last_modified, found.bytes)).changed
        assert [served.sent for served in server.log[asked:]] == [0, 2048, 2048]
        with pytest.raises(TransferError) as caught:
            transfer.probe(f"{server.address}/none")
        assert caught.value.status == 404


def test_a_probe_of_a_server_that_ignores_ranges_and_conditions(root):
    answer = {"ETag": '"a"', "Last-Modified": "Mon, 23 Nov 2026 10:00:00 GMT", "Content-Length": str(len(_BODY))}
    with Transfer(_ONCE) as transfer:
        transfer._client = httpx.Client(
            transport=httpx.MockTransport(lambda _: httpx.Response(200, headers=answer, stream=httpx.ByteStream(_BODY)))
        )
        assert not transfer.probe("http://a/x", Known('"a"', None, 5)).changed
        assert transfer.probe("http://a/x", Known('"b"', None, 5)).changed
        assert transfer.probe("http://a/x", Known(None, None, 5)).changed
        assert not transfer.probe("http://a/x", Known(None, None, len(_BODY))).changed


def test_a_probe_reads_the_voxels_of_a_scan_ahead(tmp_path):
    write_phantoms(tmp_path, 1, 0, shape=(24, 32, 40), spacing_mm=(8.0, 8.0, 8.0))
    with DatasetServer(tmp_path) as server, Transfer(_ONCE) as transfer:
        assert transfer.probe(f"{server.address}/{_NAME}").voxels == 24 * 32 * 40
    with Transfer(_ONCE) as transfer:
        path = tmp_path / _NAME
        assert transfer.probe(str(path)).voxels == 24 * 32 * 40
        known = transfer.fetch(str(path), tmp_path / "copy")
        assert not transfer.probe(str(path), Known(known.etag, None, known.bytes)).changed
        os.utime(path, ns=(0, 1))
        assert transfer.probe(str(path), Known(known.etag, None, known.bytes)).changed


@pytest.mark.parametrize("dim", [(20000, 20000, 20000), (3, 4, 5)])
def test_a_header_that_says_more_than_the_file_can_hold_costs_no_room(tmp_path, dim):
    header = nib.Nifti1Header()
    header.set_data_shape(dim)
    header.set_sform(np.diag([1.0, 1, 1, 1]), 1)
    packed = gzip.compress(header.binaryblock + bytes(4 + 120))
    for name, content in (("a.nii.gz", packed), ("a.nii", gzip.decompress(packed))):
        (tmp_path / name).write_bytes(content)
        with Transfer(_ONCE) as transfer:
            assert transfer.probe(str(tmp_path / name)).voxels == (60 if dim == (3, 4, 5) else None)


def test_a_known_hash_in_a_redirect_is_enough(root, tmp_path):
    write_phantoms(tmp_path / "data", 1, 0, shape=(24, 32, 32), spacing_mm=(8.0, 8.0, 8.0))
    with Kits23Mirror(tmp_path / "data") as mirror, Transfer(_ONCE) as transfer:
        image = mirror.addresses.image("case_00000")
        found = transfer.fetch(image, tmp_path / "f")
        assert found.etag == f'"{found.sha256}"'
        asked = len(mirror.storage.log)
        assert not transfer.probe(image, Known(found.etag, None, found.bytes)).changed
        assert len(mirror.storage.log) == asked


def test_a_hash_that_is_never_right_is_given_up_after_so_many_attempts(root, tmp_path):
    with DatasetServer(root) as server:
        with pytest.raises(TransferError, match="expected SHA-256 000"):
            fetch(Location(f"{server.address}/{_NAME}", "0" * 64), tmp_path / "f", replace(_HASTY, attempts=3))
        assert len(server.log) == 3
    assert _leftovers(tmp_path) == ["f.partial"]
