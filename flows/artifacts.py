"""Markdown for the dashboard: tables and pictures that need no file server.

Whatever a stranger may have written (names, reasons, notes, paths) goes through `markdown`, so that it means nothing.
"""

from collections.abc import Iterable, Mapping, Sequence

from kits_core.report.data_url import data_url
from kits_core.text import markdown

__all__ = ["listed", "markdown", "picture", "table"]


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A Markdown table with the keys of the first row as its head; a dash where there are no rows."""
    if not rows:
        return "–"
    head = list(rows[0])
    lines = [f"| {' | '.join(map(markdown, head))} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(markdown(row[name]) for name in head)} |" for row in rows]
    return "\n".join(lines)


def listed(texts: Iterable[str]) -> str:
    """A Markdown list, an item a text."""
    return "\n".join(f"- {markdown(text)}" for text in texts)


def picture(title: str, png: bytes) -> str:
    """A PNG in Markdown, carried in its own address."""
    return f"![{markdown(title)}]({data_url(png)})"
