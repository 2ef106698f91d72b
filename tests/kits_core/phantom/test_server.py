import hashlib

import httpx
import pytest

from kits_core.phantom.faults import Fault, FaultKind
from kits_core.phantom.server import DatasetServer

_BODY = bytes(range(256)) * 1000


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "case_00000").mkdir(parents=True)
    (tmp_path / "root" / "case_00000" / "imaging.nii.gz").write_bytes(_BODY)
    (tmp_path / "secret").write_text("no")
    return tmp_path / "root"


_FILE = "case_00000/imaging.nii.gz"


def _get(server, path=_FILE, **headers):
    return httpx.get(f"{server.address}/{path}", headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_a_file_comes_with_its_hash_as_strong_etag(root):
    with DatasetServer(root) as server:
        answer = _get(server)
        head = httpx.head(f"{server.address}/{_FILE}")
    assert answer.content == _BODY
    assert answer.headers["ETag"] == answer.headers["X-Linked-ETag"] == f'"{hashlib.sha256(_BODY).hexdigest()}"'
    assert answer.headers["Content-Length"] == head.headers["Content-Length"] == str(len(_BODY))
    assert head.content == b""
    assert server.requests == {_FILE: 2}
    assert server.bytes_sent == {_FILE: len(_BODY)}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=0-9", _BODY[:10]), ("bytes=255999-", _BODY[-1:]), ("bytes=-5", _BODY[-5:]), ("bytes=5-999999", _BODY[5:])],
)
def test_ranges(root, asked, expected):
    with DatasetServer(root) as server:
        answer = _get(server, Range=asked)
    assert answer.status_code == 206
    assert answer.content == expected
    assert answer.headers["Content-Range"].endswith(f"/{len(_BODY)}")


def test_ranges_that_cannot_be_served(root):
    with DatasetServer(root) as server:
        assert (beyond := _get(server, Range="bytes=256000-")).status_code == 416
        assert beyond.headers["Content-Range"] == "bytes */256000"
        for ignored in ("bytes=9-3", "bytes=0-1,5-6", "lines=1-2", "bytes=-"):
            assert _get(server, Range=ignored).status_code == 200


def test_if_range_and_if_none_match(root):
    with DatasetServer(root) as server:
        etag = _get(server).headers["ETag"]
        assert _get(server, Range="bytes=5-", If_Range=etag).status_code == 206
        assert _get(server, Range="bytes=5-", If_Range='"other"').status_code == 200
        assert _get(server, If_None_Match=etag).status_code == 304


@pytest.mark.parametrize(
    "path", ["../secret", "%2e%2e/secret", "case_00000/../../secret", "/etc/passwd", "case_00000", "a%00b"]
)
def test_no_path_leaves_the_root(root, path):
    (root / "link").symlink_to(root.parent / "secret")
    with DatasetServer(root) as server, httpx.Client() as client:
        request = client.build_request("GET", server.address)
        request.url = request.url.copy_with(raw_path=f"/{path}".encode())
        assert client.send(request).status_code == 404
        assert client.get(f"{server.address}/link").status_code == 404


def test_refusals_happen_as_often_as_told_and_only_where_told(root):
    faults = [
        Fault("case_00000/*", FaultKind.STATUS_503, times=2),
        Fault("*", FaultKind.TOO_MANY_REQUESTS, retry_after_s=7),
    ]
    with DatasetServer(root, faults) as server:
        statuses = [_get(server).status_code for _ in range(2)]
        limited = _get(server)
        assert [*statuses, limited.status_code, _get(server).status_code] == [503, 503, 429, 200]
        assert limited.headers["Retry-After"] == "7"


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.TRUNCATE])
def test_a_body_that_breaks_off(root, kind):
    with DatasetServer(root, [Fault("*", kind)]) as server:
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            _get(server)
        assert _get(server).content == _BODY


def test_a_stall_outlasts_the_client_and_ends_with_the_server(root):
    with DatasetServer(root, [Fault("*", FaultKind.STALL)]) as server, pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{server.address}/{_FILE}", timeout=0.2)


def test_quiet_faults(root):
    kinds = [FaultKind.BIT_FLIP, FaultKind.NO_RANGES, FaultKind.NO_LENGTH, FaultKind.HTML, FaultKind.CHANGED_ETAG]
    with DatasetServer(root, [Fault("*", kind) for kind in kinds]) as server:
        flipped = _get(server).content
        assert len(flipped) == len(_BODY)
        assert sum(a != b for a, b in zip(flipped, _BODY, strict=True)) == 1
        assert _get(server, Range="bytes=5-").status_code == 200
        assert "Content-Length" not in (short := _get(server)).headers
        assert short.content == _BODY[:128000]
        assert _get(server).headers["Content-Type"] == "text/html"
        changed = _get(server).headers["ETag"]
        assert changed != _get(server).headers["ETag"]


def test_nothing_is_written_to_stderr_and_stopping_twice_is_harmless(root, capfd):
    server = DatasetServer(root, [Fault("*", FaultKind.RESET)])
    with server, pytest.raises(httpx.HTTPError):
        _get(server)
    server.stop()
    assert capfd.readouterr().err == ""
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.address
