from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from kits_core.source.http import TransferError, ask, check_status, whole
from kits_core.source.transfer import Transfer, TransferPolicy

_ONCE = TransferPolicy(attempts=1)


def fetch(url, target, client):
    with Transfer(_ONCE) as transfer:
        transfer._client = client
        return transfer.fetch(url, target)


def _client(answer):
    return httpx.Client(transport=httpx.MockTransport(answer))


def _redirecting(routes):
    def answer(request):
        target = routes.get(str(request.url))
        if target is None:
            return httpx.Response(200, content=b"data", headers={"ETag": '"s3"'})
        return httpx.Response(302, headers={"Location": target, "X-Linked-ETag": '"linked"', "X-Linked-Size": "4"})

    return _client(answer)


def test_redirects_are_followed_and_what_they_say_of_the_file_is_kept():
    with (
        _redirecting({"https://a/x": "https://b/y", "https://b/y": "/z"}) as client,
        ask(client, "https://a/x", {}) as answer,
    ):
        assert str(answer.response.url) == "https://b/z"
        assert (answer.linked_etag, answer.linked_size) == ('"linked"', 4)
        assert answer.response.request.headers["Accept-Encoding"] == "identity"


def test_https_never_becomes_http_and_loops_end(tmp_path):
    with _redirecting({"https://a/x": "http://b/y"}) as client, pytest.raises(TransferError, match="refused") as caught:
        fetch("https://a/x", tmp_path / "f", client)
    assert not caught.value.retryable
    with (
        _redirecting({"http://a/x": "http://a/x"}) as client,
        pytest.raises(TransferError, match="redirects") as caught,
    ):
        fetch("http://a/x", tmp_path / "f", client)
    assert not caught.value.retryable


def test_no_log_of_the_client_holds_an_address_with_its_signature(caplog):
    with (
        caplog.at_level("INFO"),
        _redirecting({"https://a/x": "https://b/y?signature=secret"}) as client,
        ask(client, "https://a/x", {}) as answer,
    ):
        assert answer.response.status_code == 200
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("text", "count"), [("12", 12), ("", None), ("9" * 5000, None), ("\u0663", None), ("-1", None)]
)
def test_a_size_in_a_header_is_a_count_or_nothing(text, count):
    assert whole(text) == count


@pytest.mark.parametrize(
    ("status", "retryable"), [(404, False), (401, False), (403, False), (408, True), (429, True), (502, True)]
)
def test_which_statuses_are_worth_another_try(status, retryable):
    with pytest.raises(TransferError) as caught:
        check_status("u", httpx.Response(status))
    assert caught.value.retryable is retryable
    assert str(caught.value).endswith("; try again" if retryable else "; mend this first")
    assert caught.value.status == status
    check_status("u", httpx.Response(206))


def test_retry_after_is_seconds_or_a_date():
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    for value, low, high in (("7", 7, 7), (in_a_minute, 50, 61), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0)):
        with pytest.raises(TransferError) as caught:
            check_status("u", httpx.Response(429, headers={"Retry-After": value}))
        assert low <= caught.value.retry_after_s <= high
    for value in ("soon", "inf", ""):
        with pytest.raises(TransferError) as caught:
            check_status("u", httpx.Response(503, headers={"Retry-After": value}))
        assert caught.value.retry_after_s is None


def test_no_server_and_no_address():
    with pytest.raises(TransferError) as caught:
        Transfer(_ONCE).text("http://127.0.0.1:9/x")
    assert caught.value.retryable
    with pytest.raises(TransferError, match="no valid address") as caught:
        Transfer(_ONCE).text("http://a:b:c/")
    assert not caught.value.retryable


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_may_come_as_windows_writes_it(encoding):
    content = "case ✓\r\n".encode(encoding)
    with (
        _client(lambda _: httpx.Response(200, stream=httpx.ByteStream(content))) as client,
        Transfer(_ONCE) as transfer,
    ):
        transfer._client = client
        assert transfer.text("http://a/x") == "case ✓\r\n"
