"""One home, one catalog: a home remembers where its catalog is, if that is a database elsewhere.

Imports no SQL, so that a command line starts fast.
"""

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import quote

from kits_core.errors import KitsError
from kits_core.files import keep_to_folder, written_aside

_SAME_HOST = {"localhost": "127.0.0.1", "[::1]": "127.0.0.1", "": "127.0.0.1"}
_PORT = "5432"
_TABLES = ("dataset", "training_run", "prediction")
"""A catalog that was used has a row in at least one of these tables."""


@dataclass(frozen=True)
class Remembered:
    """The database of a home's catalog. `prefect`: whether `kits up` keeps Prefect's own state there too."""

    address: str = field(repr=False)  # it may hold a password
    prefect: bool


def memory(home: Path) -> Path:
    """The file that remembers it. Only users who share the home can read it, because it may hold a password."""
    return home / "database.json"


def remembered(home: Path) -> Remembered | None:
    """What a home remembers. Raises `KitsError` for a file that cannot be read."""
    path = memory(home)
    try:
        return Remembered(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError) as error:
        raise KitsError(
            f"{path}: expected the address of this home's catalog, got: {error}; correct it, or delete it and set "
            "KITS_DATABASE_URL"
        ) from error


def remember(home: Path, address: str, *, prefect: bool = False) -> None:
    """Keep a database's address in the home, with its password; once `prefect`, always so."""
    before = remembered(home)
    now = Remembered(address, prefect or (before is not None and before.prefect))
    if now == before:
        return
    with written_aside(memory(home)) as aside:
        aside.touch(mode=0o600)
        keep_to_folder(aside, home)
        aside.write_text(json.dumps(asdict(now)), encoding="utf-8")


def the_one(home: Path, given: str | None) -> str | None:
    """The address of a home's catalog: the one that is given or remembered; None for `catalog.db` in the home.

    Raises `KitsError` where both are there and mean two databases.
    """
    known = remembered(home)
    if known is None or given is None:
        return given or (known.address if known else None)
    if _place(given) != _place(known.address):
        raise KitsError(
            f"{home}: expected its one catalog, at {shown(known.address)}, got KITS_DATABASE_URL with another, at "
            f"{shown(given)}; unset KITS_DATABASE_URL, or choose another home (KITS_HOME); if the catalog has moved, "
            f"delete {memory(home)}"
        )
    return given


def check_no_other(home: Path, address: str) -> None:
    """Raise `KitsError` where a home whose catalog is at `address` has rows in a `catalog.db` of its own."""
    file = home / "catalog.db"
    if _place(address) != _place(f"sqlite:///{quote(str(file))}") and file.is_file() and _has_rows(file):
        raise KitsError(
            f"{home}: expected one catalog, got two: {file}, which has rows, and {shown(address)}; unset "
            "KITS_DATABASE_URL to go on with the first, or choose another home (KITS_HOME) for the second; if this "
            f"home's files belong to the second, move {file.name} away"
        )


def shown(address: str) -> str:
    """An address without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", address)


def _place(address: str) -> tuple[str, ...]:
    """The part of an address that identifies a database, without user and driver."""
    scheme, _, rest = address.partition("://")
    if scheme.startswith("sqlite"):
        return "sqlite", rest
    host, _, name = rest.rpartition("@")[2].partition("?")[0].partition("/")
    there = re.fullmatch(r"(.*?)(?::(\d+))?", host)
    machine, port = (there[1], there[2]) if there else (host, None)
    return "postgresql", _SAME_HOST.get(machine.lower(), machine.lower()), port or _PORT, name


def _has_rows(file: Path) -> bool:
    with closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return any(
            connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone()  # noqa: S608 - names of our own
            for table in _TABLES
            if table in known
        )
