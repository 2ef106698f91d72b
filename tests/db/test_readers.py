"""Who may ask a catalog on PostgreSQL, on a real server."""

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import psycopg
import pytest
from alembic import command
from postgresql import OWNER
from sqlalchemy import text

from db import migrate
from db.engine import make_engine
from db.read_only import run_query
from db.readers import grant_reader
from db.settings import Settings
from db.views import VIEWS
from kits_core.errors import KitsError

pytestmark = pytest.mark.parametrize("settings", ["postgresql"], indirect=True)

ASK = "SELECT COUNT(*) FROM leaderboard"
FILE = (
    "SELECT set_config('role', 'none', true), query_to_xml('SELECT pg_read_file(''postgresql.conf'')', true, true, '')"
)
_numbers = count(1)


@pytest.fixture
def role(cluster, settings):
    """A name that no role of the cluster has; a role of it is dropped after the test."""
    name = f"reader {next(_numbers)}"
    yield name
    with psycopg.connect(cluster.url(_database(settings), "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone():
            connection.execute(f'DROP OWNED BY "{name}"')
            connection.execute(f'DROP ROLE "{name}"')


def _database(settings):
    return settings.catalog_url.rpartition("/")[2]


def _as(settings, cluster, name):
    return Settings(home=settings.home, database_url=cluster.url(_database(settings), name.replace(" ", "%20")))


def _powerful(cluster, name, words):
    cluster.execute(f'CREATE ROLE "{name}" LOGIN {words}', role="postgres")


def test_a_reader_reads_everything_and_changes_nothing(settings, small, cluster, role):
    made = grant_reader(settings, role)
    assert len(made.password) >= 32
    reader = _as(settings, cluster, role)
    assert run_query(reader, ASK)[1] == [(1,)]
    for view in VIEWS:
        assert len(run_query(reader, f"SELECT COUNT(*) FROM {view.name}")[1]) == 1
    with psycopg.connect(cluster.url(_database(settings), role.replace(" ", "%20"))) as connection:
        for statement in ("DELETE FROM case_score", "DROP VIEW leaderboard", "SELECT pg_read_file('postgresql.conf')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
            connection.rollback()


def _upgrade(url, monkeypatch):
    """To a version after the newest, which has a table more; views are made anew as at every upgrade."""

    def run(config, _target):
        config.attributes["connection"].execute(text("CREATE TABLE of_a_later_release (id INTEGER)"))
        config.attributes["connection"].execute(text("UPDATE alembic_version SET version_num = '9998'"))

    engine = make_engine(Settings(database_url=url).catalog_url)
    with monkeypatch.context() as patch:
        patch.setattr(migrate, "HEAD", "9998")
        patch.setattr(command, "upgrade", run)
        migrate.upgrade(engine)
    engine.dispose()


@pytest.mark.parametrize("by", [OWNER, "postgres"])
def test_an_upgrade_takes_nothing_from_a_reader_whoever_runs_it(by, *, settings, small, cluster, role, monkeypatch):
    name = _database(settings)
    grant_reader(settings, role)
    before = _view_ids(cluster, name)
    _upgrade(cluster.url(name, by), monkeypatch)
    assert _view_ids(cluster, name).isdisjoint(before)
    with psycopg.connect(cluster.url(name, role.replace(" ", "%20"))) as connection:
        for view in VIEWS:
            connection.execute(f"SELECT * FROM {view.name}")
        assert connection.execute("SELECT * FROM of_a_later_release").fetchall() == []
        for statement in ("DELETE FROM case_score", "INSERT INTO of_a_later_release VALUES (1)", "DROP VIEW stale"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
            connection.rollback()
    assert _owners(cluster, name) == {OWNER}


def test_a_right_that_an_administrator_gave_on_one_view_is_there_after_an_upgrade(
    settings, small, cluster, role, monkeypatch
):
    name = _database(settings)
    _powerful(cluster, role, "")
    cluster.execute(f'GRANT SELECT ON leaderboard TO "{role}"', name)
    cluster.execute("GRANT SELECT ON worst_case TO PUBLIC", name)
    _upgrade(cluster.url(name), monkeypatch)
    with psycopg.connect(cluster.url(name, role.replace(" ", "%20"))) as connection:
        assert connection.execute(ASK).fetchone() == (1,)
        assert len(connection.execute("SELECT * FROM worst_case").fetchall()) == 2
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT * FROM patient")


def test_a_view_of_someone_elses_on_ours_is_named_before_an_upgrade_and_stays(settings, small, cluster, monkeypatch):
    name = _database(settings)
    cluster.execute("CREATE VIEW mine AS SELECT model_id, tumor_dice FROM leaderboard", name)
    told = r"no objects of others on the view leaderboard, .* got: view mine depends on view leaderboard; drop that"
    with pytest.raises(KitsError, match=told):
        _upgrade(cluster.url(name), monkeypatch)
    with psycopg.connect(cluster.url(name)) as connection:
        assert connection.execute("SELECT tumor_dice FROM mine").fetchone() == (pytest.approx(0.3),)
    cluster.execute("DROP VIEW mine", name)
    _upgrade(cluster.url(name), monkeypatch)


def _view_ids(cluster, database):
    with psycopg.connect(cluster.url(database)) as connection:
        return set(connection.execute("SELECT oid FROM pg_class WHERE relkind = 'v' AND relowner > 16000").fetchall())


def _owners(cluster, database):
    asked = "SELECT tableowner FROM pg_tables WHERE schemaname = 'public' UNION SELECT viewowner FROM pg_views "
    with psycopg.connect(cluster.url(database)) as connection:
        return {owner for (owner,) in connection.execute(asked + "WHERE schemaname = 'public'")}


def test_a_role_that_is_there_keeps_its_password_unless_one_is_given(settings, cluster, role):
    grant_reader(settings, role, "first")
    assert _secret(cluster, role).startswith("SCRAM-SHA-256$")
    first = _secret(cluster, role)
    assert grant_reader(settings, role).password is None
    assert _secret(cluster, role) == first
    assert grant_reader(settings, role, "second").password == "second"
    assert _secret(cluster, role) != first


def test_the_password_opens_the_door(settings, cluster, role):
    """The tests' cluster trusts everyone, so its rule is made the one of real servers for this role."""
    made = grant_reader(settings, role)
    with psycopg.connect(cluster.url("postgres", "postgres"), autocommit=True) as connection:
        rules = Path(connection.execute("SHOW hba_file").fetchone()[0])
    before = rules.read_text()
    try:
        rules.write_text(f'host all "{role}" 127.0.0.1/32 scram-sha-256\n{before}')
        _reload(cluster)
        with psycopg.connect(made.address, password=made.password) as connection:
            assert connection.execute(ASK).fetchone() == (0,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(made.address, password="wrong")
    finally:
        rules.write_text(before)
        _reload(cluster)


def test_a_superuser_and_who_can_become_one_are_refused_with_the_two_commands(settings, small, cluster, role):
    address = r"KITS_DATABASE_URL=postgresql://reader:PASSWORD@127.0.0.1:\d+/\w+"
    told = rf"by `kits catalog grant reader`, then ask as it by `{address} kits sql QUERY`"
    postgres = Settings(home=settings.home, database_url=cluster.url(_database(settings), "postgres"))
    with pytest.raises(KitsError, match=rf"kits sql as postgres: .* but it is a superuser, .*{told}"):
        run_query(postgres, FILE)
    assert run_query(postgres, ASK, trusted=True)[1] == [(1,)]  # kits status
    grant_reader(settings, role)
    cluster.execute(f'GRANT postgres TO "{role}"', role="postgres")
    with pytest.raises(KitsError, match=rf"but it can become postgres, .*{told}"):
        run_query(_as(settings, cluster, role), FILE)


@pytest.mark.parametrize(
    ("words", "power"),
    [
        ("IN ROLE pg_read_server_files", "it can become pg_read_server_files"),
        ("NOINHERIT IN ROLE pg_execute_server_program", "it can become pg_execute_server_program"),
        ("IN ROLE pg_write_server_files", "it can become pg_write_server_files"),
        ("IN ROLE pg_read_all_data", "it can read password hashes"),
    ],
)
def test_who_can_reach_files_programs_or_hashes_is_no_reader(settings, cluster, role, words, power):
    _powerful(cluster, role, words)
    with pytest.raises(KitsError, match=rf"but {power}"):
        grant_reader(settings, role)
    cluster.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{role}"', _database(settings))
    with pytest.raises(KitsError, match=rf"but {power}"):
        run_query(_as(settings, cluster, role), ASK)


def test_the_owner_is_no_reader_and_may_ask(settings, small):
    with pytest.raises(KitsError, match=rf"role {OWNER}: expected a reader, got the owner of the catalog"):
        grant_reader(settings, OWNER)
    assert run_query(settings, ASK)[1] == [(1,)]


def test_who_may_make_no_roles_is_told_and_nothing_is_left(settings, cluster, role):
    grant_reader(settings, role)
    with pytest.raises(KitsError, match=r"role another: expected a user of the database who may make roles .* got: "):
        grant_reader(_as(settings, cluster, role), "another")


def test_a_role_without_a_grant_is_told_how_to_get_one(settings, cluster, role):
    _powerful(cluster, role, "")
    with pytest.raises(KitsError, match=r"permission denied for table alembic_version; .* kits catalog grant"):
        run_query(_as(settings, cluster, role), ASK)


def test_the_command_makes_one_shows_its_password_once_and_takes_one_from_the_environment(
    settings, cluster, role, tmp_path
):
    environment = os.environ | {"KITS_DATABASE_URL": cluster.url(_database(settings)), "KITS_HOME": str(tmp_path)}

    def kits(*words, **more):
        command = [sys.executable, "-c", "from deployments.cli import main; main()", *words]
        return subprocess.run(command, env=environment | more, capture_output=True, text=True, check=True).stdout

    first = kits("catalog", "grant", role)
    assert f"{role} may read every table and view: postgresql://reader%20" in first
    assert len(first.split("its password, which is not shown again: ")[1].strip()) >= 32
    before = _secret(cluster, role)
    told = json.loads(kits("catalog", "grant", role, "--json", KITS_READER_PASSWORD="mine"))
    assert (told["role"], told["password"]) == (role, None)
    assert _secret(cluster, role) != before
    reader = Settings(home=settings.home, database_url=told["address"])
    assert run_query(reader, ASK)[1] == [(0,)]


def _secret(cluster, name):
    with psycopg.connect(cluster.url("postgres", "postgres")) as connection:
        return connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [name]).fetchone()[0]


def _reload(cluster):
    cluster.execute("SELECT pg_reload_conf()", role="postgres")
