import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from pydantic import ValidationError

from db.address import address
from db.settings import Settings, current_settings
from kits_core.errors import KitsError


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    monkeypatch.delenv("KITS_HOME", raising=False)
    monkeypatch.delenv("KITS_DATABASE_URL", raising=False)


def test_the_home_is_below_the_working_directory_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Settings().home == tmp_path / "kits-home"


def test_the_environment_moves_home_and_catalog(monkeypatch, tmp_path):
    monkeypatch.setenv("KITS_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("KITS_DATABASE_URL", "postgresql://reader@db.example/kits")
    assert Settings().home == tmp_path / "elsewhere"
    assert Settings().catalog_url == "postgresql+psycopg://reader@db.example/kits"


def test_a_tilde_is_the_users_home(monkeypatch):
    monkeypatch.setenv("KITS_HOME", "~/scans")
    assert Settings().home == Path.home() / "scans"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_gets_the_driver_that_is_installed(scheme):
    settings = Settings(database_url=f"{scheme}://user:word@host:5433/name?sslmode=require")
    assert settings.catalog_url == "postgresql+psycopg://user:word@host:5433/name?sslmode=require"


def test_another_sqlite_file_stays_as_it_is():
    assert Settings(database_url="sqlite:////data/other.db").catalog_url == "sqlite:////data/other.db"


def test_an_empty_address_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("KITS_DATABASE_URL", "")
    assert Settings(home=tmp_path).catalog_url == f"sqlite:///{tmp_path}/catalog.db"


@pytest.mark.parametrize("name", ["with space", "who?", "a#b", "100%", "50%25", "ä&=+"])
def test_the_catalog_is_in_the_home_whatever_that_is_called(tmp_path, name):
    url = address(Settings(home=tmp_path / name).catalog_url)
    assert url.database == str(tmp_path / name / "catalog.db")
    assert not url.query


def test_an_address_of_another_database_is_refused_without_showing_its_password():
    with pytest.raises(KitsError, match="starts with one of sqlite:///") as caught:
        Settings(database_url="mysql://user:s3cret@host/name")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("password", ["p@ss", "p/ss", "p#ss", "p?ss", "p:ss", "@", "p@s@s", "s3c@ret/x"])
def test_a_password_that_is_not_escaped_is_refused_and_no_part_of_it_shown(password):
    with pytest.raises(KitsError, match="special characters are escaped") as caught:
        Settings(database_url=f"postgresql://user:{password}@host:5432/name?sslmode=require")
    assert password not in str(caught.value).partition("(")[0]
    escaped = quote(password, safe="")
    assert Settings(database_url=f"postgresql://user:{escaped}@host:5432/name?sslmode=require").catalog_url


@pytest.mark.parametrize("url", ["postgresql:///name", "postgresql://host/name", "postgresql://u@h/n?options=-c%20a=b"])
def test_addresses_without_a_password_are_fine(url):
    assert Settings(database_url=url).catalog_url


def test_the_password_does_not_show():
    settings = Settings(database_url="postgresql://user:s3cret@host/name")
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in settings.model_dump_json()


def test_folders_are_in_the_home(tmp_path):
    settings = Settings(home=tmp_path)
    folders = [
        settings.raw,
        settings.incoming,
        settings.prepared,
        settings.runs,
        settings.predictions,
        settings.reports,
    ]
    assert [folder.name for folder in folders] == ["raw", "incoming", "prepared", "runs", "predictions", "reports"]
    assert {folder.parent for folder in folders} == {tmp_path}


def test_a_path_comes_back_from_the_catalog_even_in_a_moved_home(tmp_path):
    old, new = Settings(home=tmp_path / "old"), Settings(home=tmp_path / "new")
    stored = old.relative(old.raw / "kits23" / "case_00000" / "imaging.nii")
    assert stored == "raw/kits23/case_00000/imaging.nii"
    assert old.absolute(stored) == old.raw / "kits23" / "case_00000" / "imaging.nii"
    assert new.absolute(stored) == tmp_path / "new" / stored


def test_settings_cannot_be_changed(tmp_path):
    with pytest.raises(ValidationError, match="frozen"):
        Settings(home=tmp_path).home = tmp_path  # type: ignore[misc]  # mypy refuses it too


def test_a_home_that_was_open_is_closed_and_that_is_said(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("KITS_HOME", str(tmp_path / "home"))
    assert Settings().open_home() == tmp_path / "home"
    assert caplog.text == ""
    (tmp_path / "home").chmod(0o755)
    Settings().open_home()
    assert "was open to others on this machine (mode 755) and is closed now to all but you" in caplog.text
    monkeypatch.setenv("KITS_HOME_GROUP", "no-such-group")
    with pytest.raises(KitsError, match="shared with KITS_HOME_GROUP=no-such-group, got: "):
        Settings().open_home()


def test_a_file_in_the_homes_place_is_said_and_stays_as_it_is(monkeypatch, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.touch(0o644)
    for home in (mine, mine / "home"):
        monkeypatch.setenv("KITS_HOME", str(home))
        with pytest.raises(KitsError, match=r"mine\.txt.*: expected a home that can be made there, got: .*KITS_HOME"):
            Settings().open_home()
    assert stat.S_IMODE(mine.stat().st_mode) == 0o644


def test_settings_import_no_sql():
    code = "import sys, db.settings; sys.exit(bool({'sqlalchemy', 'alembic', 'psycopg'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_current_settings_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("KITS_HOME", str(tmp_path / "a"))
    assert current_settings() is current_settings()
    assert current_settings().home == tmp_path / "a"
    monkeypatch.setenv("KITS_HOME", str(tmp_path / "b"))
    assert current_settings().home == tmp_path / "b"
    monkeypatch.setenv("KITS_KITS23_IMAGE_REVISION", "0123abc")
    assert current_settings().kits23.image("case_00001").endswith("/0123abc/images/case_00001.nii.gz")
    monkeypatch.delenv("KITS_HOME")
    monkeypatch.chdir(tmp_path)
    assert current_settings().home == tmp_path / "kits-home"
