import re
import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Enum, inspect, text

from db import migrate
from db.engine import make_engine, open_catalog
from db.migrate import HEAD, config, upgrade
from db.models import Base
from db.views import VIEWS, drop_views
from kits_core.errors import KitsError


@pytest.fixture
def engine(fresh):
    """An engine on a database that holds nothing."""
    made = make_engine(fresh.catalog_url)
    yield made
    made.dispose()


def test_head_is_the_newest_migration():
    assert ScriptDirectory.from_config(config(None)).get_heads() == [HEAD]


def test_models_and_migrations_agree(engine):
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"target_metadata": Base.metadata, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_models_and_migrations_agree_on_the_words_of_every_enum(engine):
    """`compare_metadata` does not look at check constraints."""
    upgrade(engine)
    catalog = inspect(engine)
    found = {
        (table, check["name"], frozenset(re.findall(r"'(\w+)'", check["sqltext"])))
        for table in Base.metadata.tables
        for check in catalog.get_check_constraints(table)
    }
    stated = {
        (table.name, f"ck_{table.name}_{column.type.name}", frozenset(column.type.enums))
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, Enum)
    }
    assert found == stated
    assert len(stated) == 9


def test_a_catalog_can_be_taken_down_and_up_again(engine):
    upgrade(engine)
    with engine.begin() as connection:
        drop_views(connection)
        command.downgrade(config(connection), "base")
    assert set(inspect(engine).get_table_names()) == {"alembic_version"}
    upgrade(engine)
    assert set(inspect(engine).get_table_names()) == {*Base.metadata.tables, "alembic_version"}
    assert set(inspect(engine).get_view_names()) == {view.name for view in VIEWS}


def test_an_upgrade_makes_the_views_anew(engine, monkeypatch):
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP VIEW leaderboard"))
        connection.execute(text("CREATE VIEW leaderboard AS SELECT 1 AS old"))
    monkeypatch.setattr(migrate, "HEAD", "9998")
    monkeypatch.setattr(command, "upgrade", lambda *_: None)
    upgrade(engine)
    assert "old" not in {column["name"] for column in inspect(engine).get_columns("leaderboard")}


def test_a_migration_that_fails_leaves_nothing_behind(engine, monkeypatch):
    def fail(connection):
        raise RuntimeError

    monkeypatch.setattr(migrate, "create_views", fail)
    with pytest.raises(RuntimeError):
        upgrade(engine)
    assert inspect(engine).get_table_names() == []


def test_a_current_catalog_opens_without_alembic(settings, monkeypatch):
    monkeypatch.setattr(command, "upgrade", lambda *_: pytest.fail("upgraded a catalog that is up to date"))
    open_catalog(settings)


def test_a_catalog_of_a_newer_release_is_refused_and_stays_as_it_is(settings):
    with make_engine(settings.catalog_url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(KitsError, match=f"version 9999: expected at most {HEAD}; .* newer release .* update"):
        open_catalog(settings)
    with make_engine(settings.catalog_url).connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
        assert connection.execute(text("SELECT COUNT(*) FROM leaderboard")).scalar() == 0


def test_migrations_are_found_from_any_working_directory(tmp_path):
    code = "import sys, db.engine, db.migrate; db.migrate.upgrade(db.engine.make_engine(sys.argv[1]))"
    url = f"sqlite:///{tmp_path}/catalog.db"
    subprocess.run([sys.executable, "-c", code, url], cwd=tmp_path, check=True)
    engine = make_engine(url)
    assert inspect(engine).has_table("case")
    engine.dispose()


def test_a_draft_compares_the_models_with_a_catalog_at_head(monkeypatch):
    drafts = []
    monkeypatch.setattr(command, "revision", lambda *args, **kwargs: drafts.append((args, kwargs)))
    migrate._draft("nothing changes")
    ((_, message), options) = drafts[0]
    assert message == "nothing changes"
    assert options == {"autogenerate": True, "rev_id": f"{int(HEAD) + 1:04d}"}


def test_files_of_an_older_catalog_become_their_first_version(settings, small, file_facts):
    engine = make_engine(settings.catalog_url)
    with engine.connect() as connection, migrate._references_checked_at_the_end(connection), connection.begin():
        drop_views(connection)
        command.downgrade(config(connection), "0001")
        assert "version" not in {column["name"] for column in inspect(connection).get_columns("case_file")}
        files = connection.execute(text("SELECT COUNT(*) FROM case_file")).scalar()
    upgrade(make_engine(settings.catalog_url))
    with make_engine(settings.catalog_url).connect() as connection:
        rows = connection.execute(text("SELECT version, superseded_at FROM case_file")).all()
    assert rows == [(1, None)] * files


def test_runs_of_an_older_catalog_are_found_again_by_the_files_that_are_prepared(settings, small):
    seen = "SELECT run_id, case_id, image_sha256, label_sha256 FROM trained_case ORDER BY case_id"
    named = "SELECT id, data_hash, status FROM training_run"
    with make_engine(settings.catalog_url).connect() as connection:
        expected = connection.execute(text(seen)).all(), connection.execute(text(named)).all()
    assert len(expected[0]) == 3
    engine = make_engine(settings.catalog_url)
    with engine.connect() as connection, migrate._references_checked_at_the_end(connection), connection.begin():
        drop_views(connection)
        command.downgrade(config(connection), "0005")
        assert not inspect(connection).has_table("trained_case")
    upgrade(make_engine(settings.catalog_url))
    with make_engine(settings.catalog_url).connect() as connection:
        assert (connection.execute(text(seen)).all(), connection.execute(text(named)).all()) == expected


def test_values_of_an_older_catalog_stand_side_by_side_and_come_back_one_a_row(settings, small):
    score = "SELECT * FROM case_metric_wide ORDER BY case_name, region"
    values = (
        "SELECT case_id, region, metric, value, status, seconds FROM case_metric "
        "WHERE value IS NOT NULL ORDER BY case_id, region, metric"
    )
    engine = make_engine(settings.catalog_url)
    with engine.connect() as connection:
        expected = connection.execute(text(score)).all()
    with engine.connect() as connection, migrate._references_checked_at_the_end(connection), connection.begin():
        drop_views(connection)
        command.downgrade(config(connection), "0013")
        found = connection.execute(text(values)).all()
    assert len(found) == 12
    assert found[0] == (small.cases[1], "foreground", "dice", 0.8, "ok", 0.1)
    upgrade(make_engine(settings.catalog_url))
    with make_engine(settings.catalog_url).connect() as connection:
        assert connection.execute(text(score)).all() == expected
