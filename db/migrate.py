"""Bringing a catalog to this code's version, one process at a time.

A new migration is drafted with `python -m db.migrate "what changes"`, which compares the models with a fresh catalog;
then `HEAD` is raised. Views, and the names of settings (`db.identity`), are made anew at every upgrade: a changed view,
and a new version of settings, need an empty migration.
"""

import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from db.identity import name_by_settings
from db.view_grants import act_as_owner, give_again, view_grants
from db.views import create_views, drop_views
from kits_core.errors import KitsError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0020"
"""The newest revision in `db/migrations/versions`. It is stated here so that one query can check a catalog."""

_LOCK = 7_234_151  # any number that no other program on the same PostgreSQL database uses


def upgrade(engine: Engine) -> None:
    """Create or upgrade the catalog. Raises `KitsError` if it is newer than this code."""
    with engine.connect() as connection:
        if revision(connection.execution_options(reads_only=True)) == HEAD:
            return
    from alembic import command  # noqa: PLC0415 - takes longer to import than an open catalog takes to open

    # On SQLite this waits for the write lock.
    with engine.connect() as connection, _references_checked_at_the_end(connection), connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        found = revision(connection)
        if found == HEAD:
            return
        if found is not None and found > HEAD:
            raise KitsError(
                f"the catalog is at version {found}: expected at most {HEAD}; it was made by a newer release of this "
                "software, so update this installation"
            )
        act_as_owner(connection)
        grants = view_grants(connection)
        # SQLite copies a table to alter it, and refuses that while a view uses the table.
        drop_views(connection)
        command.upgrade(config(connection), "head")
        name_by_settings(connection)
        create_views(connection)
        give_again(connection, grants)
        _check_references(connection)


@contextmanager
def _references_checked_at_the_end(connection: Connection) -> Iterator[None]:
    """SQLite alters a table by making a new one and dropping the old one, and refuses that while rows refer to it.

    This switch does nothing inside a transaction, so it stands around it.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")


def _check_references(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    lost = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if lost:
        raise KitsError(
            f"the upgrade to version {HEAD}: expected every reference to lead to a row, got {len(lost)} that do not, "
            f"the first in table {lost[0][0]}; the catalog stays as it was; report this with the software's version"
        )


def config(connection: Connection | None) -> "Config":
    """Alembic's configuration, found by the package's place and not by the working directory."""
    from alembic.config import Config  # noqa: PLC0415

    result = Config()
    # Alembic reads a percent sign as the start of a name.
    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    result.set_main_option("script_location", folder)
    result.attributes["connection"] = connection
    return result


def revision(connection: Connection) -> str | None:
    """The version of a catalog; None for a database without one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def _draft(message: str) -> None:
    from alembic import command  # noqa: PLC0415

    from db.engine import make_engine  # noqa: PLC0415 - engine imports this module

    with tempfile.TemporaryDirectory() as folder:
        engine = make_engine(f"sqlite:///{folder}/catalog.db")
        upgrade(engine)
        with engine.begin() as connection:
            command.revision(config(connection), message, autogenerate=True, rev_id=f"{int(HEAD) + 1:04d}")


if __name__ == "__main__":
    _draft(sys.argv[1])
