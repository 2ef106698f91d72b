"""A PostgreSQL server of our own on a free port of this machine, for tests and benchmarks."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg

# A zone that is not UTC: what the catalog gives back must not depend on the server's.
_OPTIONS = (
    "-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c timezone=America/New_York "
    "-c fsync=off -c full_page_writes=off -c autovacuum=off"
)
_MEMORY = Path("/dev/shm")
_ROOM = 2 * 10**9  # bytes; the tests' databases take a fifth of it
OWNER = "kits"
"""A role as a hospital's administrator would give one: it may make databases and roles, and is no superuser."""


class NoPostgresqlError(Exception):
    """There is no server to start here; the message says why."""


class Cluster:
    """A server and its data, to be stopped and started again."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._pg_ctl, self._data = binaries / "pg_ctl", folder / "data"
        self._prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._run(binaries / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")
        self._start = ("-o", f"-p {self._port} {_OPTIONS}", "-l", folder / "log", "-w", "start")
        self.start()
        self.execute(f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE", role="postgres")

    def start(self) -> None:
        """Start the server, which must be down."""
        self._run(self._pg_ctl, "-D", self._data, *self._start)

    def url(self, database: str, role: str = OWNER) -> str:
        """The address of a database for a role: who owns what `execute` makes, or the superuser `postgres`."""
        return f"postgresql://{role}@127.0.0.1:{self._port}/{database}"

    def execute(self, sql: str, database: str = "postgres", role: str = OWNER) -> None:
        """One statement."""
        with psycopg.connect(self.url(database, role), autocommit=True) as connection:
            connection.execute(sql)

    def copy(self, database: str, name: str) -> None:
        """A database called `name` with all that is in another one, to which nobody may be connected.

        Copies the files. From PostgreSQL 15 on the default is to write all pages to the log, which takes longer.
        """
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            by_files = " STRATEGY file_copy" if connection.info.server_version >= 150000 else ""
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {database}{by_files}")

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        self._run(self._pg_ctl, "-D", self._data, "-m", "immediate", "-w", "stop")

    def _run(self, *command: object) -> None:
        subprocess.run(
            [*self._prefix, *map(str, command)], cwd="/", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )


@contextmanager
def running_cluster(*, in_memory: bool = False) -> Iterator[Cluster]:
    """A cluster for the block, gone after it. Raises `NoPostgresqlError` where PostgreSQL is not installed.

    `in_memory`: keep its files in memory where the system has room. A database has a thousand files: to make and drop
    hundreds of databases took a tenth of all tests' time, in ext4's search for free inodes.
    """
    binaries = _binaries()
    place = _MEMORY if in_memory and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM else None
    folder = Path(tempfile.mkdtemp(prefix="kits-postgresql-", dir=place))
    try:
        if os.geteuid() == 0:
            _give_to_postgres(folder)
        running = Cluster(binaries, folder)
        yield running
        running.stop()
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path:
    if shutil.which("pg_config") is None:
        raise NoPostgresqlError("PostgreSQL is not installed: no pg_config")
    binaries = Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
    if not (binaries / "initdb").is_file():
        raise NoPostgresqlError(f"PostgreSQL's server is not installed: no initdb in {binaries}")
    return binaries


def _give_to_postgres(folder: Path) -> None:
    try:
        shutil.chown(folder, "postgres")
    except LookupError as error:
        raise NoPostgresqlError("PostgreSQL refuses to run as root, and there is no user postgres") from error
