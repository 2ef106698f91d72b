"""`docs/catalog.md`: every view and column, and the tables as a diagram, written from the code.

python -m db.reference > docs/catalog.md
"""

import sys
from collections.abc import Iterator

from sqlalchemy import Column, ForeignKey, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql

from db.models import Base
from db.views import VIEWS

_HEAD = """# The catalog

Written by `python -m db.reference > docs/catalog.md`; a test holds that it is current. How to ask, with examples:
[queries.md](queries.md).

## Views

What to ask: their columns never change meaning, and they are the same on SQLite and PostgreSQL. Times are in UTC.
SQLite has no truth values: there `true` is 1 and `false` is 0.
"""

_TABLES = """
## Tables

What the views are made of. They change from release to release. PK: the row's number; FK: the number of a row of
another table; UK: part of what tells a row from all others.
"""


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *_views(), _TABLES, "```mermaid", diagram(), "```"]) + "\n"


def diagram() -> str:
    """All tables with their columns, and which refers to which, as Mermaid's `erDiagram`."""
    tables = Base.metadata.sorted_tables
    lines = [line for table in tables for line in _table(table)]
    return "\n".join(["erDiagram", *lines, *(line for table in tables for line in _references(table))])


def _views() -> Iterator[str]:
    for view in VIEWS:
        yield f"### {view.name}\n\n{view.description}\n\n| column | meaning |\n|---|---|"
        for name, meaning in view.columns.items():
            yield f"| `{name}` | {meaning} |"
        yield ""


def _table(table: Table) -> Iterator[str]:
    yield f"    {table.name} {{"
    for column in sorted(table.columns, key=lambda column: not column.primary_key):
        keys = ", ".join(_keys(table, column))
        yield f"        {_kind(column)} {column.name} {keys}".rstrip()
    yield "    }"


def _references(table: Table) -> Iterator[str]:
    for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
        many = "o|" if _is_alone(table, key) else "o{"
        one = "|o" if key.parent.nullable else "||"
        yield f"    {key.column.table.name} {one}--{many} {table.name} : {key.parent.name}"


def _is_alone(table: Table, key: ForeignKey) -> bool:
    """Whether at most one row refers to a row."""
    return any(
        isinstance(constraint, UniqueConstraint) and list(constraint.columns) == [key.parent]
        for constraint in table.constraints
    )


def _keys(table: Table, column: "Column[object]") -> Iterator[str]:
    if column.primary_key:
        yield "PK"
    if column.foreign_keys:
        yield "FK"
    if any(isinstance(found, UniqueConstraint) and column.name in found.columns for found in table.constraints):
        yield "UK"


def _kind(column: "Column[object]") -> str:
    """The type's name, as PostgreSQL calls it, in one word."""
    name = column.type.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    return name.split("(")[0].lower().replace("varchar", "text").replace("double precision", "double").split()[0]


if __name__ == "__main__":
    sys.stdout.write(page())
