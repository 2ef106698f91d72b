"""One home, one catalog."""

import sqlite3
import stat

import pytest

from db.engine import open_catalog
from db.home_catalog import memory, remember, remembered, shown
from db.settings import Settings
from kits_core.errors import KitsError

URL = "postgresql://kits:se%40cret@db.example/kits"


@pytest.fixture
def own(home):
    """The test's home, made."""
    return Settings().open_home()


def test_a_home_remembers_its_database_with_its_password_for_who_shares_the_home(own):
    Settings(database_url=URL).remember_catalog()
    assert Settings().catalog_url == URL.replace("postgresql:", "postgresql+psycopg:")
    assert stat.S_IMODE(memory(own).stat().st_mode) == 0o600
    assert "se%40cret" not in repr(remembered(own))
    own.chmod(0o2770)
    memory(own).unlink()
    Settings(database_url=URL, home_group=None).remember_catalog()
    assert stat.S_IMODE(memory(own).stat().st_mode) == 0o640


def test_nothing_is_remembered_of_a_catalog_in_the_home(own):
    Settings().remember_catalog()
    assert not memory(own).exists()
    assert Settings().catalog_url.startswith("sqlite:///")


@pytest.mark.parametrize(
    "same",
    [
        "postgresql://kits:other@db.example/kits", "postgres://reader:x@DB.example:5432/kits?sslmode=require",
        "postgresql+psycopg://db.example/kits",
    ],
)  # fmt: skip
def test_the_same_database_by_another_role_or_word_is_the_same(own, same):
    remember(own, URL)
    assert Settings(database_url=same).catalog_url.endswith(same.partition("://")[2])


@pytest.mark.parametrize(
    "other",
    ["postgresql://kits:x@db.example/another", "postgresql://kits:x@db2/kits", "postgresql://kits:x@db.example:1/kits"],
)
def test_another_one_is_refused_with_both_addresses_and_no_password(own, other):
    remember(own, URL)
    with pytest.raises(KitsError) as told:
        Settings(database_url=other).remember_catalog()
    assert "its one catalog, at postgresql://kits:***@db.example/kits, got KITS_DATABASE_URL" in str(told.value)
    assert shown(other) in str(told.value)
    assert "secret" not in str(told.value)
    assert remembered(own).address == URL


def test_a_home_with_rows_of_its_own_is_given_no_database(own):
    open_catalog(Settings()).dispose()
    Settings(database_url=URL).check_one_catalog()  # an empty one is in nobody's way
    with sqlite3.connect(own / "catalog.db") as connection:
        connection.execute("INSERT INTO dataset (name, source, created_at) VALUES ('a', 'b', '2026-01-01 00:00:00')")
    for settings in (Settings(database_url=URL), Settings(database_url="sqlite:////elsewhere/catalog.db")):
        with pytest.raises(KitsError, match=r"expected one catalog, got two: .*catalog\.db, which has rows, and "):
            open_catalog(settings)
    assert not memory(own).exists()
    Settings().check_one_catalog()
    Settings(database_url=Settings().catalog_url).check_one_catalog()


def test_that_prefects_state_is_beside_it_stays_known(own):
    remember(own, URL, prefect=True)
    remember(own, URL.replace("se%40cret", "new"))
    assert remembered(own).prefect
    assert "new" in remembered(own).address


def test_a_file_that_cannot_be_read_is_named(own):
    memory(own).write_text("{")
    with pytest.raises(KitsError, match=r"database\.json: expected the address of this home's catalog, got"):
        _ = Settings().catalog_url
