import pytest

from kits_core.source.text import decode


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_the_encoding_is_seen_at_the_start_and_no_mark_is_left(encoding):
    assert decode("ab é\n".encode(encoding), strict=True) == "ab é\n"
    assert decode(b"") == ""


def test_bytes_of_another_encoding_are_replaced_or_refused():
    assert decode(b"M\xfcller") == "M\ufffdller"
    with pytest.raises(ValueError, match="utf-8"):
        decode(b"M\xfcller", strict=True)
