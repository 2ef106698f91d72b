"""Rows for a terminal of any width: a table where it fits, else one record a block. No word and no number is broken."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kits_core.text import visible

NOTHING = "–"
_PROSE = 30
"""Longer values are sentences. They may be wrapped, and need some width to be readable."""


@dataclass(frozen=True)
class _Column:
    """A column's texts. `whole`: its width without wrapping; `least`: its width with all possible wrapping."""

    heading: str
    cells: tuple[str, ...]
    is_text: bool

    @property
    def is_prose(self) -> bool:
        return self.is_text and max(map(_width, self.cells)) > _PROSE

    @property
    def whole(self) -> int:
        return max(map(_width, (self.heading, *self.cells)))

    @property
    def least(self) -> int:
        words = max(_longest_word(text) for text in (self.heading, *self.cells))
        return max(words, _PROSE if self.is_prose else max(map(_width, self.cells)))


def layout(rows: Sequence[Mapping[str, Any]], title: str | None, width: int) -> RenderableType:
    """Rows with the same keys, at least one, for a terminal of `width` cells.

    A table breaks lines between the words of headings and of sentences alone. Where it would be wider than the
    terminal, each row is a block of lines `field: value` instead.
    """
    columns = [_column(name, [row[name] for row in rows]) for name in rows[0]]
    edges = 3 * len(columns) + 1  # a cell of room on either side of each column, one between two, one at both ends
    if sum(column.least for column in columns) + edges <= width:
        return _table(columns, title, width - edges)
    return _blocks(columns, title, width)


def facts_layout(facts: Mapping[str, str], width: int) -> RenderableType:
    """Names and values side by side, or as lines `name: value` where some word would not fit beside its name."""
    facts = {visible(name): visible(value) for name, value in facts.items()}  # measured as it is shown
    columns = [_Column(name, (value,), is_text=True) for name, value in facts.items()]
    names = max(_width(name) for name in facts)
    if names + 1 + max(_longest_word(value) for value in facts.values()) > width:
        return _blocks(columns, None, width)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", width=names)
    table.add_column()
    for name, value in facts.items():
        table.add_row(Text(name), Text(value))
    return table


def _column(name: str, values: Sequence[Any]) -> _Column:
    heading, cells = visible(name.replace("_", " ")), tuple(_text(value) for value in values)
    return _Column(
        heading, cells, is_text=any(isinstance(v, str) and v != NOTHING and not _is_number(v) for v in values)
    )


def _table(columns: Sequence[_Column], title: str | None, room: int) -> Table:
    table = Table(
        title=Text(title) if title else None,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=box.SIMPLE_HEAD,
    )
    for column, wide in zip(columns, _widths(columns, room), strict=True):
        table.add_column(Text(column.heading), width=wide, justify="left" if column.is_text else "right")
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, cells))
    return table


def _widths(columns: Sequence[_Column], room: int) -> list[int]:
    """Each column's width: unwrapped if there is room. Otherwise the widest that can shrink does, step by step."""
    widths = [column.whole for column in columns]
    least = [column.least for column in columns]
    while sum(widths) > room:
        widest = max((n for n in range(len(widths)) if widths[n] > least[n]), key=lambda n: widths[n])
        widths[widest] -= 1
    return widths


def _blocks(columns: Sequence[_Column], title: str | None, width: int) -> Group:
    blocks = [Text(title, style="bold", no_wrap=True, overflow="ignore")] if title else []
    for cells in zip(*(column.cells for column in columns), strict=True):
        lines = Text("\n", no_wrap=True, overflow="ignore")  # wrapped here; a word wider than the terminal stays whole
        for column, cell in zip(columns, cells, strict=True):
            filled = textwrap.fill(
                f"{column.heading}: {cell or NOTHING}",
                max(width, 2),
                subsequent_indent="  ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            lines.append(filled[: len(column.heading) + 1], style="bold").append(filled[len(column.heading) + 1 :])
            lines.append("\n" if column is not columns[-1] else "")
        blocks.append(lines)
    return Group(*blocks, "")


def _is_number(text: str) -> bool:
    return text.lstrip("+-").replace(".", "", 1).isdecimal()


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else visible(str(value))  # measured as it is shown


def _width(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)


def _longest_word(text: str) -> int:
    return max(map(cell_len, text.split()), default=0)
