"""A catalog on each database: SQLite in a folder, PostgreSQL in a cluster that lives as long as the tests."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg
import pytest

from db import engine as engine_module
from db.engine import catalog_session, make_engine
from db.migrate import upgrade
from db.settings import Settings

_numbers = count(1)


class Cluster:
    """A PostgreSQL server of our own on a free port of this machine."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._pg_ctl, self._data = binaries / "pg_ctl", folder / "data"
        self._prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self._run(binaries / "initdb", "-D", self._data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")
        # A zone that is not UTC: what the catalog gives back must not depend on the server's.
        options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c timezone=America/New_York "
            "-c fsync=off -c full_page_writes=off -c synchronous_commit=off"
        )
        self._run(self._pg_ctl, "-D", self._data, "-o", options, "-l", folder / "log", "-w", "start")

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql)

    def stop(self) -> None:
        self._run(self._pg_ctl, "-D", self._data, "-m", "immediate", "-w", "stop")

    def _run(self, *command: object) -> None:
        subprocess.run(
            [*self._prefix, *map(str, command)], cwd="/", check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )


@pytest.fixture(scope="session")
def cluster():
    if shutil.which("pg_config") is None:
        pytest.skip("PostgreSQL is not installed: no pg_config")
    binaries = Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip())
    if not (binaries / "initdb").is_file():
        pytest.skip(f"PostgreSQL's server is not installed: no initdb in {binaries}")
    folder = Path(tempfile.mkdtemp(prefix="kits-postgresql-"))
    if os.geteuid() == 0:
        try:
            shutil.chown(folder, "postgres")
        except LookupError:
            pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres")
    try:
        running = Cluster(binaries, folder)
        yield running
        running.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def engines(monkeypatch):
    """Every engine that a test makes through this project; closed at its end, so that databases can be dropped."""
    made = []

    def make(url):
        made.append(make_engine(url))
        return made[-1]

    monkeypatch.setattr(engine_module, "make_engine", make)
    yield made
    engine_module._open.cache_clear()
    for engine in made:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request, tmp_path):
    """Settings of a catalog that nobody has opened yet."""
    if request.param == "sqlite":
        yield Settings(home=tmp_path / "home", database_url=None)
        return
    yield from _database(request.getfixturevalue("cluster"), tmp_path, "template1")


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request, tmp_path):
    """Settings of an empty catalog at this code's version, copied from one that was migrated once."""
    if request.param == "sqlite":
        home = tmp_path / "home"
        home.mkdir()
        shutil.copy(request.getfixturevalue("sqlite_template"), home / "catalog.db")
        yield Settings(home=home, database_url=None)
        return
    template = request.getfixturevalue("postgresql_template")
    yield from _database(request.getfixturevalue("cluster"), tmp_path, template)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "catalog.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template(cluster):
    cluster.execute("CREATE DATABASE migrated")
    _migrate(Settings(database_url=cluster.url("migrated")).catalog_url)
    return "migrated"


@pytest.fixture
def session(settings):
    with catalog_session(settings) as opened:
        yield opened


def _database(cluster, tmp_path, template):
    name = f"test_{next(_numbers)}"
    cluster.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield Settings(home=tmp_path / "home", database_url=cluster.url(name))
    cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _migrate(url):
    engine = make_engine(url)
    upgrade(engine)
    engine.dispose()
