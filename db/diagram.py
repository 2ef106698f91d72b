"""The tables as a picture: a box a table, and a line for each reference of one to another."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import ForeignKey, MetaData, Table

_CHARACTER, _PADDING, _HEIGHT = 7.3, 8, 28
"""Width of a character, margin beside a name, and height of a box, in pixels."""
_BETWEEN_COLUMNS, _BETWEEN_BOXES = 50, 12
_SWEEPS = 12
"""How often the order in the columns is improved. More changes nothing for two dozen tables."""


@dataclass(eq=False)
class _Box:
    """A table in the picture; without a name, a point through which a long line passes."""

    column: int
    name: str = ""
    x: float = 0
    width: float = 0
    y: float = 0

    @property
    def height(self) -> float:
        return _HEIGHT if self.name else 0


def diagram(metadata: MetaData) -> str:
    """The tables of `metadata` as SVG. A table stands to the right of those that it refers to.

    References of a table to itself are not drawn.
    """
    tables = metadata.sorted_tables
    columns: dict[str, int] = {}
    for table in tables:
        columns[table.name] = max((columns[key.column.table.name] + 1 for key in _keys(table)), default=0)
    boxes = {table.name: _Box(columns[table.name], table.name) for table in tables}
    ways = [_way(boxes[key.column.table.name], boxes[table.name]) for table in tables for key in _keys(table)]
    every = list(dict.fromkeys([*boxes.values(), *(box for way in ways for box in way)]))
    _place(every, ways)
    return "\n".join(_svg(every, ways)) + "\n"


def _keys(table: Table) -> list[ForeignKey]:
    """A table's references to other tables, always in the same order."""
    others = (key for key in table.foreign_keys if key.column.table is not table)
    return sorted(others, key=lambda key: key.parent.name)


def _way(one: _Box, many: _Box) -> list[_Box]:
    """The boxes that a line joins, with a point in each column between."""
    return [one, *(_Box(column) for column in range(one.column + 1, many.column)), many]


def _place(boxes: list[_Box], ways: list[list[_Box]]) -> None:
    """Set every box's place so that lines cross seldom: each stands about where its neighbours stand."""
    beside: dict[_Box, list[_Box]] = defaultdict(list)
    for way in ways:
        for left, right in pairwise(way):
            beside[left].append(right)
            beside[right].append(left)
    columns = [[box for box in boxes if box.column == column] for column in range(max(box.column for box in boxes) + 1)]
    x = float(_PADDING)
    for column in columns:
        width = max(len(box.name) for box in column) * _CHARACTER + 2 * _PADDING
        for box in column:
            box.x, box.width = x, width
        x += width + _BETWEEN_COLUMNS
        _stack(column)
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 else columns[::-1]:
            middle = {box: _mean([other.y + other.height / 2 for other in beside[box]]) for box in column}
            column.sort(key=lambda box: middle[box])
            _stack(column)
    top = min(box.y for box in boxes)
    for box in boxes:
        box.y += _BETWEEN_BOXES - top


def _stack(column: list[_Box]) -> None:
    """The boxes of a column one below the other, their middle at 0."""
    y = -(sum(box.height for box in column) + _BETWEEN_BOXES * (len(column) - 1)) / 2
    for box in column:
        box.y = y
        y += box.height + _BETWEEN_BOXES


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _svg(boxes: list[_Box], ways: list[list[_Box]]) -> Iterator[str]:
    width = max(box.x + box.width for box in boxes) + _PADDING
    height = max(box.y + box.height for box in boxes) + _BETWEEN_BOXES
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
    yield f' width="{width:.0f}" height="{height:.0f}" font-family="monospace" font-size="12">'
    yield f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>'
    for way in ways:
        yield f'<path d="{_line(way)}" fill="none" stroke="#7a8aa0"/>'
    for box in boxes:
        if not box.name:
            continue
        yield f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}"'
        yield ' rx="4" fill="#eef3fb" stroke="#3f51b5"/>'
        yield f'<text x="{box.x + _PADDING:.0f}" y="{box.y + _HEIGHT / 2 + 4:.0f}">{box.name}</text>'
    yield "</svg>"


def _line(way: list[_Box]) -> str:
    """From the right side of the first box to the left side of the last one, straight through the columns between."""
    parts: list[str] = []
    for left, right in pairwise(way):
        x, y = left.x + left.width, left.y + left.height / 2
        to_x, to_y = right.x, right.y + right.height / 2
        bend = (x + to_x) / 2
        parts.append(f"H{x:.0f}" if parts else f"M{x:.0f} {y:.0f}")
        parts.append(f"C{bend:.0f} {y:.0f} {bend:.0f} {to_y:.0f} {to_x:.0f} {to_y:.0f}")
    return " ".join(parts)
