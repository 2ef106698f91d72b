"""Small text files as Windows and Unix tools write them."""

import codecs
from json import detect_encoding  # by its first bytes: byte order mark, or the zeros of UTF-16 and UTF-32


def decode(content: bytes, *, strict: bool = False) -> str:
    """Text of a small file in UTF-8, UTF-16 or UTF-32, with or without a byte order mark, which is left out.

    Bytes of another encoding become U+FFFD, which is enough where names and hashes in ASCII are looked for; `strict`
    raises `UnicodeDecodeError` (a `ValueError`) for them.
    """
    encoding = "utf-8-sig" if content.startswith(codecs.BOM_UTF8) else detect_encoding(content)
    return content.decode(encoding, errors="strict" if strict else "replace")
