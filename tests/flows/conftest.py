from functools import partial

import pytest
from sqlalchemy import text

from db.engine import open_catalog
from db.settings import Settings
from kits_core.phantom.dataset import write_phantoms
from kits_core.source.transfer import TransferPolicy
from tasks import source

SMALL = {"shape": (24, 64, 64), "spacing_mm": (8.0, 5.0, 5.0)}


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """Eight small phantom patients in the official layout."""
    root = tmp_path_factory.mktemp("phantoms")
    write_phantoms(root, 8, 3, **SMALL)
    return root


@pytest.fixture
def rows(home):
    """Ask the catalog of the test's home."""

    def ask(query):
        with open_catalog(Settings()).connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    return ask


@pytest.fixture
def artifact(api):
    """The newest artifact of a key, as the server has it: the session's tests share that server and their keys."""

    def latest(key):
        body = {"artifacts": {"key": {"any_": [key]}}}
        (found,) = api.post("artifacts/latest/filter", json=body).raise_for_status().json()
        return found

    return latest


@pytest.fixture
def hasty(monkeypatch):
    """Transfers that wait a moment where they would wait seconds."""
    monkeypatch.setattr(
        "tasks.source.TransferPolicy",
        partial(
            TransferPolicy,
            backoff_s=0.02,
            longest_backoff_s=0.1,
            read_s=2.0,
            stall_window_s=0.5,
            least_bytes_per_s=20_000,
        ),
    )
    source._transfer.cache_clear()
    yield
    source._transfer.cache_clear()
