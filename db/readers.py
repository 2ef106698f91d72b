"""Roles of PostgreSQL that read the catalog and can do nothing else: who they are, and how one is made.

A query may be a stranger's words, and is run with all that its role may do. A superuser's reads the server's files and
password hashes, also within a transaction that only reads; and if the role is dropped before it, one SELECT with
`set_config('role', …)` takes it up again. So such a role is refused.
"""

import secrets
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy import URL, Connection, text

from db.address import address
from db.engine import open_catalog, shown_address
from db.settings import Settings
from kits_core.errors import KitsError

_BYTES = 24
_FILES = ("pg_execute_server_program", "pg_read_server_files", "pg_write_server_files")

_POWERS = text(
    """
    SELECT rolname FROM pg_roles
    WHERE (rolsuper OR rolname = ANY(:files)) AND pg_has_role(CAST(:name AS name), oid, 'MEMBER')
    ORDER BY rolsuper DESC, rolname
    """
)
_HASHES = text("SELECT has_table_privilege(CAST(:name AS name), 'pg_catalog.pg_authid', 'SELECT')")


@dataclass(frozen=True)
class Reader:
    """A role that may read. `password`: None where it keeps the one that it had."""

    name: str
    password: str | None
    address: str
    """Of the catalog for it, without a password."""


def powers(connection: Connection, name: str | None = None) -> str | None:
    """A power of a role that makes it unsafe for other people's queries; None for a safe role.

    `name`: the role; None: the role that connected, even if it changed to another one.
    """
    role = name or connection.scalar(text("SELECT session_user"))
    if found := connection.scalars(_POWERS, {"name": role, "files": list(_FILES)}).all():
        return "it is a superuser" if role in found and role not in _FILES else f"it can become {found[0]}"
    return "it can read password hashes (pg_authid)" if connection.scalar(_HASHES, {"name": role}) else None


def not_a_reader(url: str, power: str) -> KitsError:
    """Why a role with a power is refused for a query, and the way to a reader."""
    asked = address(url)
    return KitsError(
        f"kits sql as {asked.username}: expected a role that cannot do more than read the catalog, but {power}, and a "
        "query could read the server's files or run programs there; make a reader by `kits catalog grant reader`, then "
        f"ask as it by `KITS_DATABASE_URL={_for_role(url, 'reader', 'PASSWORD')} kits sql QUERY`"
    )


def grant_reader(settings: Settings, name: str, password: str | None = None) -> Reader:
    """Let a role read every table and view of the catalog, those of later releases too; made where there is none.

    A new role gets `password`, or one that is made here. One that is there keeps its own, unless `password` is given.
    Raises `KitsError` for a catalog on SQLite, a role that can do more than read, and a user who may not make roles.
    """
    engine = open_catalog(settings)
    if engine.dialect.name != "postgresql":
        raise KitsError(
            f"kits catalog grant {name}: expected a catalog on PostgreSQL, got {shown_address(settings.catalog_url)}. "
            "SQLite has no roles: whoever can read that file can read the catalog. Share the home with a group by "
            "KITS_HOME_GROUP and ask by kits sql, which cannot write; programs open the file with ?mode=ro "
            "(docs/connect.md). For roles, move the catalog to PostgreSQL by KITS_DATABASE_URL"
        )
    try:
        with engine.begin() as connection:
            given = _ensure_role(connection, name, password)
            _grant(connection, name)
    except Exception as error:
        raise _refused(error, name) from error
    return Reader(name, given, _for_role(settings.catalog_url, name))


def _ensure_role(connection: Connection, name: str, password: str | None) -> str | None:
    driver: psycopg.Connection[object] = connection.connection.driver_connection  # type: ignore[assignment]
    role = sql.Identifier(name)
    known = connection.scalar(text("SELECT oid FROM pg_roles WHERE rolname = :name"), {"name": name})
    if known is not None:
        if (power := powers(connection, name)) is not None:
            raise KitsError(f"role {name}: expected one that can do nothing but read, but {power}; choose another name")
        if _owns(connection, name):
            raise KitsError(f"role {name}: expected a reader, got the owner of the catalog; choose another name")
    elif password is None:
        password = secrets.token_urlsafe(_BYTES)
    if known is None:
        driver.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
    if password is not None:
        # The server's log may show statements, so it gets what it keeps, not the password itself.
        kept = driver.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256").decode()
        driver.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(kept)))
    return password


def _grant(connection: Connection, name: str) -> None:
    driver: psycopg.Connection[object] = connection.connection.driver_connection  # type: ignore[assignment]
    database, schema, owner = connection.execute(
        text(
            "SELECT current_database(), schemaname, tableowner FROM pg_tables "
            "WHERE tablename = 'alembic_version' AND schemaname = current_schema()"
        )
    ).one()
    names = {
        "database": sql.Identifier(database),
        "schema": sql.Identifier(schema),
        "owner": sql.Identifier(owner),
        "role": sql.Identifier(name),
    }
    for statement in (
        "GRANT CONNECT ON DATABASE {database} TO {role}",
        "GRANT USAGE ON SCHEMA {schema} TO {role}",
        "GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {role}",
        # Upgrades make views anew, and tables: what the owner makes later is granted as it is made.
        "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA {schema} GRANT SELECT ON TABLES TO {role}",
    ):
        driver.execute(sql.SQL(statement).format(**names))


def _owns(connection: Connection, name: str) -> bool:
    return bool(
        connection.scalar(
            text(
                "SELECT pg_has_role(CAST(:name AS name), CAST(tableowner AS name), 'MEMBER') FROM pg_tables "
                "WHERE tablename = 'alembic_version' AND schemaname = current_schema()"
            ),
            {"name": name},
        )
    )


def _for_role(url: str, name: str, password: str | None = None) -> str:
    asked = address(url)
    made = URL.create("postgresql", name, password, asked.host, asked.port, asked.database, asked.query)
    return made.render_as_string(hide_password=False).replace(" ", "%20")  # SQLAlchemy keeps it, and libpq refuses it


def _refused(error: Exception, name: str) -> Exception:
    cause = getattr(error, "orig", error)
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return KitsError(
            f"role {name}: expected a user of the database who may make roles and grant what the catalog holds, got: "
            f"{str(cause).strip()}; run this once with KITS_DATABASE_URL of an administrator"
        )
    return error
