"""Prefect's own state on the PostgreSQL server of the catalog, in a database beside it."""

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from kits_core.errors import KitsError

SUFFIX = "_prefect"
"""Prefect and the catalog both have a table `alembic_version`: each gets a database of its own."""


def ensure_prefect_database(catalog_url: str) -> str:
    """The address of Prefect's database for the server of a catalog; made where there is none.

    Raises `KitsError` for an address that is no PostgreSQL's, a server that does not answer, and a user who may not
    make databases.
    """
    catalog = make_url(catalog_url)
    if catalog.get_backend_name() != "postgresql":
        raise KitsError("--database: expected an address that starts with postgresql://, got another kind")
    name = f"{catalog.database}{SUFFIX}"
    try:
        with psycopg.connect(_plain(catalog), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.errors.InsufficientPrivilege as error:
        raise KitsError(
            f"expected a database {name} for Prefect's state beside the catalog's, got none, and {catalog.username} "
            f"may not make it; ask an administrator for CREATE DATABASE {name} OWNER {catalog.username}"
        ) from error
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise KitsError(f"expected PostgreSQL at {catalog.host}:{catalog.port or 5432}, got: {reason}") from error
    return catalog.set(drivername="postgresql+asyncpg", database=name).render_as_string(hide_password=False)


def _plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
