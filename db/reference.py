"""`docs/catalog.md` and its picture `docs/catalog.svg`: every view, table and column, written from the code.

python -m db.reference    # writes both
"""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Column, ForeignKey, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql

from db.diagram import diagram
from db.models import Base
from db.views import VIEWS

_HEAD = """# The catalog

Written by `python -m db.reference`; a test holds that it is current. How to ask, with examples:
[queries.md](queries.md).

## Views

What to ask: their columns never change meaning, and they are the same on SQLite and PostgreSQL. Times are in UTC.
SQLite has no truth values: there `true` is 1 and `false` is 0.
"""

_TABLES = """
## Tables

What the views are made of. They change from release to release. In the picture a line leads from a table on the left
to a table on the right whose rows refer to it.

![The tables, and which refers to which](catalog.svg)

In the lists below, the key PK is the row's number, and UK is part of what tells a row from all others. "At most one"
means that no two rows refer to the same row.
"""
_DOCS = Path(__file__).resolve().parents[1] / "docs"


def page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *_views(), _TABLES, *_tables()])


def _views() -> Iterator[str]:
    for view in VIEWS:
        yield f"### {view.name}\n\n{view.description}\n\n| column | meaning |\n|---|---|"
        for name, meaning in view.columns.items():
            yield f"| `{name}` | {meaning} |"
        yield ""


def _tables() -> Iterator[str]:
    for table in sorted(Base.metadata.tables.values(), key=lambda table: table.name):
        yield f"### Table {table.name}\n\n| column | type | key | refers to |\n|---|---|---|---|"
        for column in sorted(table.columns, key=lambda column: not column.primary_key):
            refers = ", ".join(_reference(table, key) for key in column.foreign_keys)
            yield f"| `{column.name}` | {_kind(column)} | {', '.join(_keys(table, column))} | {refers} |"
        yield ""


def _reference(table: Table, key: ForeignKey) -> str:
    notes = ["may be NULL"] if key.parent.nullable else []
    notes += ["at most one"] if _is_alone(table, key) else []
    return ", ".join([f"`{key.column.table.name}`", *notes])


def _is_alone(table: Table, key: ForeignKey) -> bool:
    """Whether at most one row refers to a row."""
    return any(
        isinstance(constraint, UniqueConstraint) and list(constraint.columns) == [key.parent]
        for constraint in table.constraints
    )


def _keys(table: Table, column: "Column[object]") -> Iterator[str]:
    if column.primary_key:
        yield "PK"
    if any(isinstance(one, UniqueConstraint) and column.name in one.columns for one in table.constraints):
        yield "UK"


def _kind(column: "Column[object]") -> str:
    """The type's name, as PostgreSQL calls it, in one word."""
    name = column.type.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    return name.split("(")[0].lower().replace("varchar", "text").replace("double precision", "double").split()[0]


if __name__ == "__main__":
    (_DOCS / "catalog.md").write_text(page(), encoding="utf-8")
    (_DOCS / "catalog.svg").write_text(diagram(Base.metadata), encoding="utf-8")
