"""What several rooms share: a home of one's own, one Prefect server for the whole session, and one PostgreSQL."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def _offline(tmp_path_factory):
    """Nothing of the user's own Prefect or home is touched, and nothing leaves the machine."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
    os.environ["DO_NOT_TRACK"] = "1"
    for name in ("PREFECT_API_URL", "KITS_HOME", "KITS_DATABASE_URL"):
        os.environ.pop(name, None)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home, which `Settings()` finds."""
    monkeypatch.setenv("KITS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory, _offline):
    """The address of a real Prefect server, the same that the command line starts."""
    from deployments.server import prefect_server

    with prefect_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(scope="session")
def real_masks():
    """40 real KiTS23 segmentations in the official layout."""
    folder = SHARED / "kits23" / "dataset"
    if not folder.is_dir():
        pytest.skip(f"no real masks at {folder}")
    return folder


@pytest.fixture(scope="session")
def real_scan():
    """One real abdominal CT."""
    path = SHARED / "ct" / "abdomen_3mm.nii.gz"
    if not path.is_file():
        pytest.skip(f"no real scan at {path}")
    return path


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
            "-c fsync=off -c full_page_writes=off -c autovacuum=off"
        )
        self._start = ("-o", options, "-l", folder / "log", "-w", "start")
        self.start()

    def start(self) -> None:
        self._run(self._pg_ctl, "-D", self._data, *self._start)

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
