"""Makes outside text safe to show: names, tags, values and messages are displayed, never executed."""

import re
from collections.abc import Iterable

_STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that control a terminal or reverse text: all control characters but tab and line end, and bidi marks."""
_LINE_ENDS = re.compile(r"[ \t]*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+[ \t]*")
_MARKDOWN = re.compile(r"[\\`*\[\]<>&|~@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""Characters with a meaning in Markdown, or that make an address a link. An underscore within a word has none."""
_BLOCK = re.compile(r"^(?:([#+=-])(?![\w.])|(\d{1,9})([.)])(?=\s|$))")
"""What makes a heading, a list or a rule at the beginning of a line."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings that a spreadsheet takes for a formula, of OWASP's page on CSV injection; the last four are wide ones."""
_LISTED = 5


def visible(text: str) -> str:
    """`text` with U+FFFD in place of each character that controls a terminal or reverses text."""
    return _STEERING.sub("\ufffd", text)


def listed(names: Iterable[str]) -> str:
    """The first five names, and how many more there are."""
    all_names = list(names)
    more = f" and {len(all_names) - _LISTED} more" if len(all_names) > _LISTED else ""
    return ", ".join(all_names[:_LISTED]) + more


def one_line(text: str) -> str:
    """`visible`, with a space for each line end."""
    return visible(_LINE_ENDS.sub(" ", text).strip())


def markdown(value: object) -> str:
    """`value` as one line of plain text in Markdown: no markup, link, picture or HTML of its own (CommonMark, GFM)."""
    text = _MARKDOWN.sub(lambda found: f"\\{found[0]}", one_line(str(value)))
    return _BLOCK.sub(lambda found: f"{found[2] or ''}\\{found[1] or found[3]}", text)


def csv_cell(value: object) -> object:
    """`value` for a CSV that a spreadsheet opens: `'` before a text that it would take for a formula (OWASP).

    Numbers stay numbers, texts of numbers (`-1.5`) too. Texts are `visible`.
    """
    if not isinstance(value, str):
        return value
    return f"'{visible(value)}" if value.startswith(_FORMULA) and not _is_number(value) else visible(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text[-1:].isalnum() or text.endswith(".")
