"""Cases from what people type: `0-9,400`, `site1_*`."""

import fnmatch
import re
from collections.abc import Iterable

from kits_core.errors import KitsError

_LARGEST_ID = 99_999
_PART = re.compile(r"(?:case_)?(\d{1,5})(?:\s*-\s*(?:case_)?(\d{1,5}))?")
_HOW = "write names, ids and ranges as in 0-9,400, or patterns as in site1_*"


def case_name(number: int) -> str:
    """`case_00042` for 42. Raises `KitsError` outside 0 to 99999."""
    if not 0 <= number <= _LARGEST_ID:
        raise KitsError(f"case id {number} is not from 0 to {_LARGEST_ID}; {_HOW}")
    return f"case_{number:05d}"


def check_cases(text: str) -> str:
    """`text` itself if it can be a selection: names, patterns, ids and rising ranges between commas.

    Raises `KitsError` that quotes the part which is none.
    """
    for part in _parts(text):
        _range(part, text)
    return text


def choose(available: Iterable[str], text: str | None) -> tuple[str, ...]:
    """Those of the `available` cases that the selection names, sorted; all of them for None.

    A part is a case's name, an id as `7` or a range of ids as `0-9` (of cases called `case_00007`), or a pattern as
    `site1_*`. A range may span gaps (ids 300 to 399 do not exist). Raises `KitsError` where a part of the selection
    names no available case at all: most often a typing error.
    """
    have = set(available)
    if text is None or text in have:
        return tuple(sorted(have if text is None else {text}))
    chosen: set[str] = set()
    for part in _parts(text):
        found = {part} & have or _numbered(part, text, have) or set(fnmatch.filter(have, part))
        if not found:
            raise KitsError(f"the source has no case {part} (it has {len(have)} cases); {_HOW}")
        chosen |= found
    return tuple(sorted(chosen))


def _parts(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise KitsError(f"{text!r}: expected a case between each two commas, got none; {_HOW}")
    return parts


def _numbered(part: str, text: str, have: set[str]) -> set[str]:
    numbers = _range(part, text)
    return have.intersection(map(case_name, numbers)) if numbers is not None else set()


def _range(part: str, text: str) -> range | None:
    """The ids of a part that is one or a range of them; None of other parts."""
    match = _PART.fullmatch(part)
    if match is None:
        return None
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if last < first:
        raise KitsError(f"the range {part!r} in {text!r} runs backwards; {_HOW}")
    return range(first, last + 1)
