"""Connections to the catalog, which is created and upgraded by whoever opens it first."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from threading import Lock, RLock
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Dialect, Engine, create_engine, event
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from db.address import address
from db.migrate import revision, upgrade
from db.models.base import json_text
from db.settings import HomeError, Settings
from kits_core.errors import KitsError

_BUSY_MS = 60_000
_MAY_NOT = "42501"  # PostgreSQL's code for an insufficient privilege
_RESTART_S = 60
"""How long to wait for a database that answered before: the time that a server needs to restart."""

_opening = Lock()
# Connections that wait for SQLite's write lock sleep up to 100 ms at a time, even if it is free by then. So threads of
# one process queue here instead. Reentrant, so that a session within a session fails by SQLite's own time-out.
_writing = RLock()


def _open_again_after_a_fork() -> None:
    # Another thread may have held a lock at the fork; nobody in the new process would ever release it.
    global _opening, _writing
    _opening, _writing = Lock(), RLock()


os.register_at_fork(after_in_child=_open_again_after_a_fork)


class CatalogUnreachableError(KitsError):
    """The database does not answer, or the home cannot be written."""


@contextmanager
def catalog_session(settings: Settings) -> Iterator[Session]:
    """A session on the catalog; commits when the block ends well, rolls back otherwise."""
    engine = open_catalog(settings)
    queue = _writing if engine.dialect.name == "sqlite" else nullcontext()
    with queue, Session(engine, expire_on_commit=False) as session, session.begin():
        yield session


@contextmanager
def reading_session(settings: Settings) -> Iterator[Session]:
    """A session that only reads: it waits for no writer, and no writer waits for it. Writing with it is an error."""
    with Session(open_catalog(settings), expire_on_commit=False) as session, session.begin():
        session.connection(execution_options={"reads_only": True})
        yield session
        if session.new or session.dirty or session.deleted:
            raise RuntimeError("a reading session cannot write; use catalog_session")


def open_catalog(settings: Settings) -> Engine:
    """The engine of the catalog, at this code's version: one a process and address.

    Raises `KitsError` for a catalog that a newer version of this code has made, or that cannot be reached.
    """
    # The process is part of the key: connections must not cross a fork.
    with _opening:
        _open_home(settings, os.getpid())
        return _open(settings.catalog_url, os.getpid())


def shown_address(url: str) -> str:
    """An address of a catalog without its password."""
    return address(url).render_as_string(hide_password=True)


def _unreachable(url: str, error: Exception) -> CatalogUnreachableError:
    reason = " ".join(str(getattr(error, "orig", error)).split())
    return CatalogUnreachableError(
        f"expected the catalog at {shown_address(url)}, got: {reason}; "
        "check KITS_HOME, KITS_DATABASE_URL or what the home remembers (database.json), and that the server runs"
    )


@lru_cache(maxsize=8)
def _open_home(settings: Settings, _process: int) -> None:
    try:
        settings.open_home()
    except HomeError as error:
        raise _unreachable(settings.catalog_url, error) from error
    settings.check_one_catalog()


@lru_cache(maxsize=8)
def _open(url: str, _process: int) -> Engine:
    try:
        engine = make_engine(url)
        upgrade(engine)
    except (OperationalError, OSError) as error:
        raise _unreachable(url, error) from error
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != _MAY_NOT:
            raise
        raise KitsError(
            f"the catalog at {shown_address(url)}: expected a role that may read it, and upgrade it where that is due, "
            f"got: {str(error.orig).splitlines()[0]}; let its owner run kits status, which upgrades, and kits catalog "
            "grant for this role"
        ) from error
    if engine.dialect.name != "sqlite":
        event.listen(engine, "do_connect", _connect_after_a_restart)
    return engine


def catalog_version(settings: Settings) -> str | None:
    """The version of the catalog as it is; None where there is none yet. Nothing is made or upgraded.

    Raises `CatalogUnreachableError`.
    """
    url = address(settings.catalog_url)
    if url.get_backend_name() == "sqlite":
        if url.database is None or not Path(url.database).is_file():
            return None
        url = url.set(database=f"file:{quote(url.database)}", query={"mode": "ro", "uri": "true"})
        engine = create_engine(url)
    else:
        engine = create_engine(url, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            return revision(connection)
    except OperationalError as error:
        raise _unreachable(settings.catalog_url, error) from error
    finally:
        engine.dispose()


def make_engine(url: str) -> Engine:
    """An engine with this project's rules, on a catalog at any version."""
    engine = create_engine(address(url), pool_pre_ping=not url.startswith("sqlite"), json_serializer=json_text)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
        if engine.url.database:
            Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    return engine


def empty_log(settings: Settings) -> None:
    """Let SQLite write its log of changes into the database and empty the log, unless somebody reads from it now."""
    engine = open_catalog(settings)
    if engine.dialect.name == "sqlite":
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def _connect_after_a_restart(dialect: Dialect, _record: object, args: list[Any], named: dict[str, Any]) -> Any:
    attempts = Retrying(
        retry=retry_if_exception_type(dialect.loaded_dbapi.OperationalError),
        stop=stop_after_delay(_RESTART_S),
        wait=wait_exponential_jitter(initial=0.1, max=2),
        reraise=True,
    )
    return attempts(dialect.connect, *args, **named)


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver would begin transactions of its own, later than asked and never for DDL.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    _switch_to_wal(cursor)
    # A committed row stands for a file that is there: it must survive a power cut as the file does.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    # This statement ignores the busy time-out. Processes that open a new catalog at the same time collide here.
    deadline = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_immediate(connection: Connection) -> None:
    # Two transactions that read first and write later cannot both be upgraded: SQLite fails one of them at once,
    # whatever the busy time-out. Taking the write lock at the start makes them queue.
    # A transaction that says it only reads needs no lock: a question never waits for a writer.
    reads_only = connection.get_execution_options().get("reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
