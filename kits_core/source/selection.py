"""Case names from what people type: `0-9,400`."""

import re
from collections.abc import Iterable

from kits_core.errors import KitsError

_LARGEST_ID = 99_999
_PART = re.compile(r"(?:case_)?(\d{1,5})(?:\s*-\s*(?:case_)?(\d{1,5}))?")
_HOW = "write ids and ranges as in 0-9,400"


def case_name(number: int) -> str:
    """`case_00042` for 42. Raises `KitsError` outside 0 to 99999."""
    if not 0 <= number <= _LARGEST_ID:
        raise KitsError(f"case id {number} is not from 0 to {_LARGEST_ID}; {_HOW}")
    return f"case_{number:05d}"


def parse_cases(text: str) -> tuple[str, ...]:
    """Sorted, unique case names of a selection such as `0-9,400` or `case_00003`; ranges include both ends.

    Raises `KitsError` that quotes the part which is no id and no rising range.
    """
    return tuple(sorted({case_name(n) for first, last in _ranges(text) for n in range(first, last + 1)}))


def choose(available: Iterable[str], text: str | None) -> tuple[str, ...]:
    """Those of the `available` cases that the selection names, sorted; all of them for None.

    A range may span gaps (ids 300 to 399 do not exist). Raises `KitsError` where a part of the selection names no
    available case at all, which is a typing error more often than a wish.
    """
    have = set(available)
    if text is None:
        return tuple(sorted(have))
    chosen: set[str] = set()
    for first, last in _ranges(text):
        found = have.intersection(case_name(n) for n in range(first, last + 1))
        if not found:
            part = str(first) if first == last else f"{first}-{last}"
            raise KitsError(f"the source has no case {part} (it has {len(have)} cases); {_HOW}")
        chosen |= found
    return tuple(sorted(chosen))


def _ranges(text: str) -> list[tuple[int, int]]:
    found = []
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise KitsError(f"{part.strip()!r} in the selection {text!r} is neither an id nor a range; {_HOW}")
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first:
            raise KitsError(f"the range {part.strip()!r} in {text!r} runs backwards; {_HOW}")
        found.append((first, last))
    return found
