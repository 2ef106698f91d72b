"""What every view is held to: its words, in both databases, and the version of the catalog that it came with."""

import hashlib

import pytest
from sqlalchemy import text

from db.engine import open_catalog
from db.migrate import HEAD
from db.views import VIEWS
from db.views.view import View


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_postgresql_says_what_every_view_and_column_means(settings):
    words = text(
        "SELECT c.relname, a.attname, obj_description(c.oid), col_description(c.oid, a.attnum) FROM pg_class c "
        "JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace "
        "AND a.attnum > 0"
    )
    with open_catalog(settings).connect() as connection:
        found = {(view, column): (of_view, of_column) for view, column, of_view, of_column in connection.execute(words)}
    assert found == {
        (view.name, column): (view.description, meaning) for view in VIEWS for column, meaning in view.columns.items()
    }


def test_views_change_with_the_version_of_the_catalog():
    """An upgrade makes them anew, and nothing else does: a catalog that is there would keep the old ones."""
    queries = [view.sql_for(dialect) for view in VIEWS for dialect in ("sqlite", "postgresql")]
    found = hashlib.sha256("\n".join(queries).encode()).hexdigest()[:16]
    told = "views have changed, also by a setting: add an empty migration, raise HEAD, and write the new pair here"
    assert (HEAD, found) == ("0020", "cdbcbc9e04c00b39"), told


def test_names_are_said_once():
    names = [view.name for view in VIEWS]
    assert len(names) == len(set(names))


def _ask(settings, sql):
    view = View("asked", "", {}, sql)
    with open_catalog(settings).connect() as connection:
        return connection.exec_driver_sql(view.sql_for(connection.dialect.name)).one()


def test_a_value_of_json_has_its_kind_on_both_databases(settings, small):
    with open_catalog(settings).begin() as connection:
        value = ":value" if connection.dialect.name == "sqlite" else "CAST(:value AS JSONB)"
        connection.execute(
            text(f"UPDATE recipe SET settings = {value}"),
            {"value": '{"a": 3, "b": 0.5, "c": true, "d": "x", "e": null}'},
        )
    row = _ask(
        settings,
        "SELECT json_int(r.settings, 'a') + 1, json_float(r.settings, 'b'), json_bool(r.settings, 'c'), "
        "json_text(r.settings, 'd'), json_int(r.settings, 'e'), json_text(r.settings, 'f') FROM recipe r",
    )
    assert row == (4, 0.5, True, "x", None, None)


def test_seconds_between_two_times_are_the_same_on_both_databases(settings, small):
    with open_catalog(settings).begin() as connection:
        connection.execute(
            text(
                "UPDATE training_run SET started_at = '2026-10-24 23:59:58.500000+00:00', "
                "ended_at = '2026-10-25 01:00:00.750000+00:00'"
            )
        )
    sql = "SELECT seconds_between(t.started_at, t.ended_at), seconds_between(t.ended_at, NULL) FROM training_run t"
    assert _ask(settings, sql.replace(", NULL", ", t.ended_at")) == (3602.25, 0)
    now = _ask(settings, "SELECT seconds_between(t.ended_at, CURRENT_TIMESTAMP) / 3600 FROM training_run t")[0]
    assert now > 0
