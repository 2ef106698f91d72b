"""What several rooms share: a home of one's own, a browser, one Prefect server for the session, one PostgreSQL."""

import gc
import os
import shutil
import sqlite3
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from inspect import isfunction
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from playwright.sync_api import sync_playwright
from postgresql import NoPostgresqlError, running_cluster
from server_client import asking

_PIXEL = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
SHARED = Path(__file__).parents[2] / "shared"
# Software rendering, for machines without a graphics card.
_CHROMIUM = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def pytest_configure():
    """The garbage collector waits until all tests are loaded: it would look at all modules again and again."""
    gc.disable()


def pytest_collection_finish():
    """What is loaded by now stays, so the collector need not look at it any more."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _offline(tmp_path_factory):
    """Nothing of the user's own Prefect or home is touched, and nothing leaves the machine."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"
    os.environ["DO_NOT_TRACK"] = "1"
    os.environ["KITS_SERVER_IDLE_MINUTES"] = "0"  # no server outlives its test
    for name in ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "KITS_HOME", "KITS_DATABASE_URL"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def _new_catalog(tmp_path_factory, _offline):
    """An empty SQLite catalog that all migrations made."""
    from db.engine import make_engine
    from db.migrate import upgrade

    file = tmp_path_factory.mktemp("catalog") / "catalog.db"
    engine = make_engine(f"sqlite:///{file}")
    upgrade(engine)
    engine.dispose()
    return file


@pytest.fixture(scope="module", autouse=True)
def _copied_catalogs(_new_catalog):
    """A new SQLite catalog of this process is a copy: all migrations take half a second a home.

    `tests/db` and other processes have theirs made by the migrations.
    """
    from db.migrate import upgrade

    def copy_or_upgrade(engine):
        if engine.dialect.name == "sqlite" and not Path(engine.url.database).exists():
            with TemporaryDirectory(dir=Path(engine.url.database).parent) as folder, suppress(FileExistsError):
                os.link(shutil.copy(_new_catalog, folder), engine.url.database)
        upgrade(engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("db.engine.upgrade", copy_or_upgrade)
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Figures that this process draws are a pixel: drawing takes most of a short flow's time."""
    from kits_core.report import figures, fingerprint

    for module in (figures, fingerprint):
        for name, function in vars(module).items():
            if isfunction(function) and not name.startswith("_") and function.__annotations__.get("return") is bytes:
                monkeypatch.setattr(module, name, _pixel)


def _pixel(*facts, **_named):
    for fact in facts:
        if isinstance(fact, Iterator):  # sections that are cut while they are drawn
            list(fact)
    return _PIXEL


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home, which `Settings()` finds."""
    monkeypatch.setenv("KITS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="session")
def _server(tmp_path_factory, _offline):
    """The home of a real Prefect server, the same that the command line starts, and its address."""
    from deployments.server import prefect_server

    home = tmp_path_factory.mktemp("server")
    with prefect_server(home) as url:
        with (
            closing(sqlite3.connect(home / "prefect" / "prefect.db")) as made,
            closing(sqlite3.connect(home / "tables.db")) as copy,
        ):
            made.backup(copy)
        yield home, url


@pytest.fixture(scope="session")
def prefect_api(_server):
    """The address of the session's Prefect server."""
    return _server[1]


@pytest.fixture(scope="session")
def api(_server):
    """A client of the session's Prefect server, as a script would use it: `api.post("flow_runs/filter", json={})`."""
    home, url = _server
    with asking(home, url) as client:
        yield client


@pytest.fixture(scope="session")
def with_prefects_tables(_server):
    """Gives a home the tables of a Prefect server, empty, as if one had run there: making them takes a server 10 s."""

    def give(home):
        (home / "prefect").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_server[0] / "tables.db", home / "prefect" / "prefect.db")
        return home

    return give


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


@pytest.fixture(scope="session")
def cluster():
    """A PostgreSQL server of the tests' own."""
    with ExitStack() as stack:
        try:
            running = stack.enter_context(running_cluster(in_memory=True))
        except NoPostgresqlError as reason:
            pytest.skip(str(reason))
        yield running


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, closed with its module: its event loop runs in the thread of the tests."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_CHROMIUM)
        yield browser
        browser.close()
