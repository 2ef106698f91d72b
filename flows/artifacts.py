"""Markdown for the dashboard: tables and pictures that need no file server."""

from collections.abc import Mapping, Sequence

from kits_core.report.data_url import data_url


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """A Markdown table with the keys of the first row as its head; a dash where there are no rows."""
    if not rows:
        return "–"
    head = list(rows[0])
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(_cell(row[name]) for name in head)} |" for row in rows]
    return "\n".join(lines)


def picture(title: str, png: bytes) -> str:
    """A PNG in Markdown, carried in its own address."""
    return f"![{title}]({data_url(png)})"


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
