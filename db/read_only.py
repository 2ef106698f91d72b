"""Questions to the catalog that cannot change it, by the database's own means."""

import sqlite3
import time
from typing import Any

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from db.engine import open_catalog
from db.settings import Settings
from db.views import VIEWS
from kits_core.errors import KitsError

_STEPS_BETWEEN_LOOKS = 10_000

Answer = tuple[list[str], list[tuple[Any, ...]]]


def run_query(settings: Settings, sql: str, timeout_s: float = 30.0) -> Answer:
    """Columns and rows of one SQL statement.

    Raises `KitsError`, which names the views, for a statement that fails, would write or takes longer than `timeout_s`.
    """
    open_catalog(settings)  # a first look makes the tables
    url = settings.catalog_url
    try:
        return _sqlite(settings, sql, timeout_s) if url.startswith("sqlite") else _postgresql(url, sql, timeout_s)
    except DBAPIError as error:
        views = ", ".join(view.name for view in VIEWS)
        raise KitsError(
            f"expected one SQL query that only reads, within {timeout_s:g} s; got: {error.orig}; "
            f"views to ask: {views}; their columns: kits sql --views"
        ) from error


def _sqlite(settings: Settings, sql: str, timeout_s: float) -> Answer:
    path = settings.catalog_url.removeprefix("sqlite:///")
    engine = create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")

    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA query_only = ON")
        deadline = time.monotonic() + timeout_s
        connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)

    event.listen(engine, "connect", prepare)
    try:
        with engine.connect() as connection:
            return _answer(connection, sql)
    finally:
        engine.dispose()


def _postgresql(url: str, sql: str, timeout_s: float) -> Answer:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}"))
            return _answer(connection, sql)
    finally:
        engine.dispose()


def _answer(connection: Connection, sql: str) -> Answer:
    result = connection.exec_driver_sql(sql)
    if not result.returns_rows:
        return [], []
    return list(result.keys()), [tuple(row) for row in result]
