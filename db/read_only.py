"""Queries that cannot change the catalog, because the database itself prevents it."""

import re
import sqlite3
import time
from contextlib import closing
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.types.string import TextLoader
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from db.address import address
from db.engine import make_engine, open_catalog
from db.readers import not_a_reader, powers
from db.settings import Settings
from db.views import VIEWS
from kits_core.errors import KitsError

_STEPS_BETWEEN_LOOKS = 10_000
_MOST_ROWS, _MOST_BYTES, _ROWS_AT_ONCE = 1_000_000, 256 << 20, 10_000
"""Of an answer. The scores of 5,000 cases by 20 evaluations are half a million rows of `case_metric_wide`."""

_PLAN = re.compile(r"\s*EXPLAIN\b", re.IGNORECASE)

_READING = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
_OTHER_FUNCTIONS = {"fts3_tokenizer", "load_extension"}
"""Functions that can affect the process that runs the query."""
_READING_PRAGMAS = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"}

Answer = tuple[list[str], list[tuple[Any, ...]]]


def run_query(settings: Settings, sql: str, timeout_s: float = 30.0, *, trusted: bool = False) -> Answer:
    """Columns and rows of one SQL statement; JSON comes as text.

    `trusted`: the statement is the program's own, so that a PostgreSQL role which can do more than read may run it.

    Raises `KitsError`, which names the views, for a statement that fails, would write or takes longer than `timeout_s`,
    for an answer of over a million rows or 256 MiB, and for a role that could read files by it (`db.readers`).
    """
    open_catalog(settings)  # the first access creates the tables
    if not sql.strip():
        return [], []
    try:
        if settings.catalog_url.startswith("sqlite"):
            return _sqlite(settings.catalog_url, sql, timeout_s)
        return _postgresql(settings.catalog_url, sql, timeout_s, trusted=trusted)
    except (sqlite3.Error, psycopg.Error, DBAPIError) as error:
        views = ", ".join(view.name for view in VIEWS)
        raise KitsError(
            f"expected one SQL query that only reads, within {timeout_s:g} s; got: {error}; "
            f"views to ask: {views}; their columns: kits sql --views"
        ) from error


def _sqlite(url: str, sql: str, timeout_s: float) -> Answer:
    path = quote(address(url).database or "")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=timeout_s)) as connection:
        # `mode=ro` guards the catalog; it lets ATTACH make a file elsewhere.
        connection.set_authorizer(_only_reading)
        deadline = time.monotonic() + timeout_s
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
        return _answer(connection.execute(sql))


def _only_reading(action: int, first: str | None, second: str | None, *_rest: str | None) -> int:
    allowed = action in _READING or (action == sqlite3.SQLITE_PRAGMA and first in _READING_PRAGMAS)
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _OTHER_FUNCTIONS:
        allowed = False
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _postgresql(url: str, sql: str, timeout_s: float, *, trusted: bool) -> Answer:
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text(f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))}"))
            # This is also its first query: before the first one, PostgreSQL would let the transaction be changed to a
            # writing one.
            if (power := powers(connection)) is not None and not trusted:
                raise not_a_reader(url, power)
            return _answer(_declared(connection, sql))
    finally:
        engine.dispose()


def _declared(connection: Connection, sql: str) -> psycopg.Cursor[Any]:
    """Every row of a query, by a cursor of the server: no other statement can be declared as one but EXPLAIN's plan."""
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    cursor = driver.cursor()
    for kind in ("json", "jsonb"):
        cursor.adapters.register_loader(kind, TextLoader)
    # A prepared statement is a single one: nothing can follow the query.
    if _PLAN.match(sql):
        return cursor.execute(sql, prepare=True)
    cursor.execute(f"DECLARE kits_answer NO SCROLL CURSOR FOR {sql}", prepare=True)
    return cursor.execute(f"FETCH {_ROWS_AT_ONCE} FROM kits_answer")


def _answer(cursor: sqlite3.Cursor | psycopg.Cursor[Any]) -> Answer:
    if cursor.description is None:
        return [], []
    return _unique([column[0] for column in cursor.description]), _bounded(cursor)


def _bounded(cursor: sqlite3.Cursor | psycopg.Cursor[Any]) -> list[tuple[Any, ...]]:
    """All rows. Raises `KitsError` for more rows or bytes than the limits."""
    rows: list[tuple[Any, ...]] = []
    size = 0
    while part := cursor.fetchmany(_ROWS_AT_ONCE):
        rows += part
        size += sum(len(value) if isinstance(value, str | bytes) else 8 for row in part for value in row)
        if len(rows) > _MOST_ROWS or size > _MOST_BYTES:
            raise KitsError(
                f"expected an answer of at most {_MOST_ROWS:,} rows and {_MOST_BYTES >> 20} MiB, got more; add LIMIT, "
                "or ask for fewer columns"
            )
        if isinstance(cursor, psycopg.Cursor) and cursor.statusmessage == f"FETCH {_ROWS_AT_ONCE}":
            cursor.execute(f"FETCH {_ROWS_AT_ONCE} FROM kits_answer")
    return rows


def _unique(names: list[str]) -> list[str]:
    """Column names told apart by a number, because answers become objects and tables."""
    return [
        f"{name}_{names[:place].count(name) + 1}" if name in names[:place] else name for place, name in enumerate(names)
    ]
