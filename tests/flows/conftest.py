import pytest
from sqlalchemy import text

from db.engine import open_catalog
from db.settings import Settings
from kits_core.phantom.dataset import write_phantoms

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
