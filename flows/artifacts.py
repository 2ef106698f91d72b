"""Markdown for the dashboard: tables and pictures that need no file server.

Whatever a stranger may have written (names, reasons, notes, paths) goes through `markdown`, so that it means nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from db.settings import current_settings
from kits_core.home_pages import address_of_page
from kits_core.report.data_url import data_url
from kits_core.text import markdown

__all__ = ["link", "listed", "markdown", "overview", "picture", "table"]


class Link(str):
    """Markdown that `table` takes as it is."""

    __slots__ = ()


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A Markdown table with the keys of the first row as its head; a dash where there are no rows."""
    if not rows:
        return "–"
    head = list(rows[0])
    lines = [f"| {' | '.join(map(markdown, head))} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(_cell(row[name]) for name in head)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return str(value) if isinstance(value, Link) else markdown(value)


def overview(known: Mapping[str, object]) -> str:
    """What there is to say of one thing, a name and a value a line: a table of one row is wider than the dashboard."""
    return "\n".join(f"- {markdown(name)}: **{_cell(value)}**" for name, value in known.items())


def link(page: Path, text: str) -> Link:
    """A link that opens a report or a plan of the home in the dashboard's server; for any other file, the text alone.

    It names no server, so that it works at whatever address the dashboard has.
    """
    address = address_of_page(current_settings().home, page)
    return Link(markdown(text) if address is None else f"[{markdown(text)}]({address})")


def listed(texts: Iterable[str]) -> str:
    """A Markdown list, an item a text."""
    return "\n".join(f"- {markdown(text)}" for text in texts)


def picture(title: str, png: bytes) -> str:
    """A PNG in Markdown, carried in its own address."""
    return f"![{markdown(title)}]({data_url(png)})"
