"""What the upgrade of a catalog that is in use must stand: tables with rows, readers, writers, several threads."""

import json
import sqlite3
import subprocess
import sys
import threading
from functools import partial

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.migration import MigrationContext
from alembic.operations import Operations

from db import engine as engine_module
from db import migrate, models
from db.engine import catalog_session, make_engine, open_catalog
from db.migrate import HEAD
from db.queries.ingest import ensure_case, ensure_dataset, record_label_volumes
from db.queries.prepare import ensure_recipe
from db.queries.training import data_hash, find_or_open_run
from db.read_only import run_query
from db.settings import Settings
from kits_core.errors import KitsError
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe


@pytest.fixture
def case(settings):
    """A catalog with a case that other rows refer to."""
    with catalog_session(settings) as session:
        dataset = ensure_dataset(session, name="site", source="folder", revision=None, flow_run_id=None)
        case = ensure_case(session, dataset, "case_00000")
        record_label_volumes(session, case, {1: (1000, 8.0)})
        return case.id


def _next_version(monkeypatch, change):
    """Makes `change(op)` the migration to a version after the newest."""
    monkeypatch.setattr(migrate, "HEAD", "9998")

    def run(config, _target):
        connection = config.attributes["connection"]
        change(Operations(MigrationContext.configure(connection)))
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9998'"))

    monkeypatch.setattr(command, "upgrade", run)


def _widen(op):
    with op.batch_alter_table("case") as table:
        table.alter_column("name", type_=sa.String(200), existing_nullable=False)
        table.add_column(sa.Column("note", sa.String()))


def test_a_table_that_others_refer_to_can_be_altered(settings, case, monkeypatch):
    _next_version(monkeypatch, _widen)
    engine = make_engine(settings.catalog_url)
    migrate.upgrade(engine)
    with engine.begin() as connection:
        assert connection.execute(sa.text('SELECT name, note FROM "case"')).all() == [("case_00000", None)]
        assert connection.execute(sa.text("SELECT case_name, kidney_ml FROM case_overview")).all() == [
            ("case_00000", 8.0)
        ]
        # The very connection that was used for the upgrade holds references again.
        with pytest.raises(sa.exc.IntegrityError, match=r"(?i)foreign key"):
            connection.execute(sa.text("INSERT INTO label_volume (case_id, label, voxels, ml) VALUES (99, 1, 1, 1)"))
    engine.dispose()


def test_an_upgrade_that_would_lose_a_reference_leaves_the_catalog_as_it_was(settings, case, monkeypatch):
    _next_version(monkeypatch, lambda op: op.execute('DELETE FROM "case"'))
    engine = make_engine(settings.catalog_url)
    with pytest.raises((KitsError, sa.exc.IntegrityError), match=r"in table label_volume|from table \"label_volume\""):
        migrate.upgrade(engine)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT COUNT(*) FROM case_overview")).scalar() == 1
        assert connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar() == HEAD
    engine.dispose()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_question_does_not_wait_for_a_writer(settings, case):
    """On PostgreSQL it never does."""
    engine_module._open.cache_clear()
    writer = sqlite3.connect(settings.home / "catalog.db", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute('UPDATE "case" SET name = ?', ["case_00001"])
    assert run_query(settings, "SELECT case_name FROM case_overview", timeout_s=5)[1] == [("case_00000",)]
    writer.execute("COMMIT")
    writer.close()
    assert run_query(settings, "SELECT case_name FROM case_overview")[1] == [("case_00001",)]


def test_threads_share_one_engine(fresh):
    barrier, found = threading.Barrier(4), []

    def open_it():
        barrier.wait()
        found.append(open_catalog(fresh))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1


def test_a_forked_process_opens_the_catalog_although_another_thread_was_opening_one(tmp_path):
    code = """
import os, sys
from db import engine
from db.settings import Settings
engine._opening.acquire()
child = os.fork()
if child == 0:
    engine.open_catalog(Settings(home=sys.argv[1], database_url=None))
    os._exit(0)
sys.exit(os.waitpid(child, 0)[1])
"""
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=30).returncode == 0


def test_an_open_catalog_is_opened_without_alembic(tmp_path):
    """Alembic takes longer to import than all the rest of a question to the catalog."""
    open_catalog(Settings(home=tmp_path, database_url=None))
    code = (
        "import sys; from db.engine import catalog_session; from db.settings import Settings\n"
        "with catalog_session(Settings(home=sys.argv[1], database_url=None)): pass\n"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=30).returncode == 0


def test_migrations_are_found_below_a_folder_with_a_percent_sign(tmp_path, monkeypatch):
    monkeypatch.setattr(migrate, "__file__", str(tmp_path / "100%" / "migrate.py"))
    assert migrate.config(None).get_main_option("script_location") == str(tmp_path / "100%" / "migrations")


# As commit e4c8f71 wrote them, whose hashes covered every field: Recipe(shape=32) and
# TrainingConfig(epochs=1, batch_size=2, filters=4, learning_rate=3e-3).
OLD_RECIPE = {
    "frame": "volume", "trim_air": True, "margin_mm": 20.0, "locator": None, "spacing_mm": None, "shape": 32,
    "window_hu": [-79.0, 304.0], "mean_hu": 100.93, "deviation_hu": 76.9, "cyst_to": "background",
}  # fmt: skip
OLD_CONFIG = {
    "epochs": 1, "batch_size": 2, "micro_batch": None, "learning_rate": 0.003, "final_learning_rate": None,
    "patience": 40, "filters": 4, "normalisation": "batch", "deep_supervision": False, "loss": "focal_tversky",
    "miss_weight": 0.7, "false_alarm_weight": 0.3, "focus": 0.75, "loss_background": False, "loss_per": "sample",
    "device": "auto", "precision": "auto", "fold": None, "selection_cases": None, "seed": 23,
}  # fmt: skip


def _insert(connection, table, **values):
    names = ", ".join(values)
    marks = ", ".join(f":{name}" for name in values)
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), values)


@pytest.fixture
def old(fresh):
    """A catalog of version 0006 with a recipe, one of code that no release has had, and two runs."""
    engine, then = make_engine(fresh.catalog_url), "2026-11-01 12:00:00+00:00"
    with engine.begin() as connection:
        command.upgrade(migrate.config(connection), "0006")
        _insert(connection, "dataset", id=1, name="site", source="folder", created_at=then)
        for number, name in ((1, "cdbbc38f29e78831"), (2, "0123456789abcdef")):
            settings = json.dumps(OLD_RECIPE)
            _insert(connection, "recipe", id=number, hash=name, settings=settings, created_at=then)
        _insert(
            connection,
            "split",
            id=1,
            dataset_id=1,
            hash="s",
            seed=23,
            validation_fraction=0.2,
            strata="{}",
            created_at=then,
        )
        for number, changed in ((1, {}), (2, {"seed": 24})):
            run = {"recipe_id": 1, "split_id": 1, "data_hash": "d", "environment": "{}", "status": "completed"}
            config, name = json.dumps(OLD_CONFIG | changed), f"{number}70db31f77404c58"
            _insert(connection, "training_run", id=number, config=config, config_hash=name, started_at=then, **run)
    yield fresh
    engine.dispose()


def test_settings_of_an_older_release_are_found_again_under_the_same_rows(old):
    recipe, config = Recipe(shape=32), TrainingConfig(epochs=1, batch_size=2, filters=4, learning_rate=3e-3)
    with catalog_session(old) as session:
        found = ensure_recipe(session, recipe.hash, recipe.to_stored(), None)
        assert (found.id, found.read()) == (1, recipe)
        assert session.get_one(models.Recipe, 2).hash == "0123456789abcdef"
        for number, seed in ((1, 23), (2, 24)):
            config = config.model_copy(update={"seed": seed})
            run = session.get_one(models.TrainingRun, number)
            assert (run.config_hash, run.read_config()) == (config.hash, config)
        run = session.get_one(models.TrainingRun, 2)
        run.data_hash = data_hash([])
        session.flush()
        asked = partial(find_or_open_run, session, recipe_id=1, split_id=1, prepared=[], flow_run_id=None)
        assert asked(config=config.to_stored(), config_hash=config.hash).id == 2


def test_of_two_rows_with_the_same_settings_the_newest_gets_the_name(old):
    with make_engine(old.catalog_url).begin() as connection:
        connection.execute(sa.text("UPDATE training_run SET config = (SELECT config FROM training_run WHERE id = 1)"))
    with catalog_session(old) as session:
        names = {number: session.get_one(models.TrainingRun, number).config_hash for number in (1, 2)}
    assert names == {1: "170db31f77404c58", 2: TrainingConfig.from_stored(OLD_CONFIG).hash}


def test_settings_that_no_release_can_read_any_more_keep_their_name_and_stop_no_upgrade(old):
    with make_engine(old.catalog_url).begin() as connection:
        value = ":config" if connection.dialect.name == "sqlite" else "CAST(:config AS JSONB)"
        gone = {"config": json.dumps(OLD_CONFIG | {"warm_up": 30})}
        connection.execute(sa.text(f"UPDATE training_run SET config = {value} WHERE id = 1"), gone)
    with catalog_session(old) as session:
        assert session.get_one(models.TrainingRun, 1).config_hash == "170db31f77404c58"
        assert (
            session.get_one(models.TrainingRun, 2).config_hash
            == TrainingConfig(epochs=1, batch_size=2, filters=4, learning_rate=3e-3, seed=24).hash
        )
