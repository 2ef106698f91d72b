import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from db.engine import open_catalog
from db.read_only import run_query
from db.readers import grant_reader
from db.settings import Settings
from db.views import VIEWS
from kits_core.errors import KitsError

WRITES = [
    "INSERT INTO recipe (hash, settings, created_at) VALUES ('x', '{}', '2024-01-01')",
    "UPDATE \"case\" SET status = 'pending'",
    "DELETE FROM case_score",
    "DROP TABLE case_score",
    "DROP VIEW leaderboard",
    "CREATE TABLE mine (id INTEGER)",
    "CREATE TABLE mine AS SELECT * FROM leaderboard",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE INDEX mine ON recipe (settings)",
    "ALTER TABLE recipe ADD COLUMN mine INTEGER",
]
WRITES_SQLITE = [
    "ATTACH DATABASE 'file:{home}/catalog.db?mode=rwc' AS mine",
    "ATTACH DATABASE '{home}/mine.db' AS mine",
    "VACUUM INTO '{home}/mine.db'",
    "PRAGMA query_only = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA user_version = 9",
    "CREATE TEMP TABLE mine (id INTEGER)",
    "WITH gone AS (SELECT 1) DELETE FROM case_score",
]
WRITES_POSTGRESQL = [
    "WITH gone AS (DELETE FROM case_score RETURNING id) SELECT * FROM gone",
    "SET TRANSACTION READ WRITE",
    "SELECT set_config('transaction_read_only', 'off', false)",
    "DO $$ BEGIN SET TRANSACTION READ WRITE; DELETE FROM case_score; END $$",
    "DO $$ BEGIN COMMIT; DELETE FROM case_score; END $$",
    "SELECT nextval('case_score_id_seq')",
    "TRUNCATE case_score",
    "COPY case_score FROM STDIN",
    "COPY (SELECT 1) TO PROGRAM 'touch {home}/mine'",
    "COPY (SELECT 1) TO '{home}/mine'",
    "SELECT set_config('role', 'none', true), pg_reload_conf()",
    "SELECT query_to_xml('SELECT pg_read_file(''postgresql.conf'')', true, true, '')",
    "SELECT rolpassword FROM pg_authid",
    "DO $$ BEGIN RESET ROLE; COPY (SELECT 1) TO PROGRAM 'touch {home}/mine'; END $$",
    "CHECKPOINT",
    "EXPLAIN ANALYZE DELETE FROM case_score",
]
SEVERAL = [
    "COMMIT; DROP TABLE case_score",
    "SELECT 1; DROP TABLE case_score",
    "ROLLBACK; BEGIN; DELETE FROM case_score; COMMIT",
    "COMMIT; SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; DROP TABLE case_score CASCADE",
]
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT i FROM n"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT MAX(i) FROM n"


def _counts(settings):
    with open_catalog(settings).connect() as connection:
        tables = ("dataset", '"case"', "recipe", "case_score", "leaderboard", "open_problem")
        return [connection.execute(text(f"SELECT COUNT(*) FROM {table}")).scalar() for table in tables]


def _refused(settings, statement):
    before = _counts(settings)
    with pytest.raises(KitsError, match="expected one SQL query that only reads"):
        run_query(settings, statement)
    assert _counts(settings) == before == [2, 5, 1, 6, 1, 1]


def test_an_answer_has_columns_and_rows(settings, small):
    query = "SELECT case_name, tumor_dice FROM worst_case ORDER BY place"
    assert run_query(settings, query) == (["case_name", "tumor_dice"], [("case_00002", 0.0), ("case_00001", 0.6)])


def test_columns_of_one_name_are_told_apart(settings):
    assert run_query(settings, "SELECT 1 AS a, 2 AS b, 3 AS a") == (["a", "b", "a_2"], [(1, 2, 3)])


def test_no_rows_are_an_answer_too(settings):
    assert run_query(settings, "SELECT case_name FROM case_overview") == (["case_name"], [])


def test_a_first_question_makes_the_catalog(fresh):
    assert run_query(fresh, "SELECT COUNT(*) AS cases FROM case_overview") == (["cases"], [(0,)])


def test_json_is_text_on_both_databases(settings, small):
    query = "SELECT image_shape, image_spacing_mm FROM case_overview WHERE tumor_ml = 10"
    assert run_query(settings, query)[1] == [("[512, 512, 90]", "[0.75, 0.75, 3.0]")]


def test_signs_that_a_driver_takes_for_parameters_are_just_signs(settings, small):
    query = "SELECT case_name, '%s :a ?' AS signs FROM open_problem WHERE error LIKE '%2 fail%'"
    assert run_query(settings, query) == (["case_name", "signs"], [("case_00003", "%s :a ?")])


def test_a_comment_and_a_final_semicolon_are_fine(settings):
    assert run_query(settings, "-- a question\nSELECT 1 AS one;")[1] == [(1,)]


def test_a_plan_may_be_asked_for(settings):
    assert run_query(settings, "EXPLAIN SELECT * FROM leaderboard")[1]


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_sqlite_tells_a_views_columns(settings):
    columns, rows = run_query(settings, "PRAGMA table_info(leaderboard)")
    assert rows[0][columns.index("name")] == "evaluation_id"


def test_nothing_can_be_written(settings, small):
    for statement in WRITES:
        _refused(settings, statement)


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_nothing_can_be_written_by_what_only_sqlite_knows(settings, small):
    for statement in WRITES_SQLITE:
        _refused(settings, statement.format(home=settings.home))
    assert {path.name for path in settings.home.iterdir()} <= {"catalog.db", "catalog.db-wal", "catalog.db-shm"}


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_nothing_can_be_written_by_what_only_postgresql_knows(settings, small):
    writable = Path(tempfile.mkdtemp(prefix="kits-"))  # for the server's user too, so that nothing else refuses it
    writable.chmod(0o777)
    for statement in WRITES_POSTGRESQL:
        _refused(settings, statement.format(home=writable))
    assert list(writable.iterdir()) == []


def test_several_statements_in_one_string_do_no_harm(settings, small):
    for statements in SEVERAL:
        _refused(settings, statements)


def test_a_lone_end_of_the_transaction_does_no_harm(settings, small):
    for statement in ("COMMIT", "ROLLBACK"):
        try:
            run_query(settings, statement)
        except KitsError:
            continue
        _refused(settings, "DELETE FROM case_score")


def test_an_error_says_what_is_wrong_and_names_the_views(settings):
    with pytest.raises(KitsError, match="leader_board") as caught:
        run_query(settings, "SELECT * FROM leader_board")
    assert all(view.name in str(caught.value) for view in VIEWS)
    assert "kits sql --views" in str(caught.value)


@pytest.mark.parametrize("nothing", ["", "  "])
def test_no_statement_is_no_rows(settings, nothing):
    assert run_query(settings, nothing) == ([], [])


def test_a_query_that_takes_too_long_is_stopped(settings):
    start = time.monotonic()
    with pytest.raises(KitsError, match=r"within 0\.3 s; got: .*(interrupted|timeout)"):
        run_query(settings, ENDLESS, timeout_s=0.3)
    assert 0.3 <= time.monotonic() - start < 10


@pytest.mark.parametrize("limit", ["_MOST_ROWS", "_MOST_BYTES"])
def test_an_answer_that_never_ends_is_stopped_before_it_fills_the_memory(settings, monkeypatch, limit):
    monkeypatch.setattr(f"db.read_only.{limit}", 50_000)
    with pytest.raises(KitsError, match=r"expected an answer of at most .* got more; add LIMIT"):
        run_query(settings, NUMBERS.format(last=10**9))


def test_an_answer_of_many_parts_is_whole(settings, monkeypatch):
    monkeypatch.setattr("db.read_only._ROWS_AT_ONCE", 7)
    for last in (6, 7, 8, 21, 22):
        assert run_query(settings, NUMBERS.format(last=last))[1] == [(number,) for number in range(1, last + 1)]


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_functions_that_reach_into_the_process_are_refused(settings):
    for function in ("fts3_tokenizer('simple')", "FTS3_TOKENIZER('simple', x'00')", "load_extension('x')"):
        with pytest.raises(KitsError, match=r"not authorized|no such function"):
            run_query(settings, f"SELECT {function}")


def test_the_shortest_limit_is_not_none(settings):
    with pytest.raises(KitsError, match=r"interrupted|timeout"):
        run_query(settings, ENDLESS, timeout_s=1e-6)


def test_a_writer_does_not_keep_readers_waiting(settings, small):
    with open_catalog(settings).begin() as connection:
        connection.execute(text("DELETE FROM case_score"))
        assert run_query(settings, "SELECT COUNT(*) FROM case_score", 5.0)[1] == [(6,)]


@pytest.mark.parametrize("name", ["with space", "who?", "a#b", "100%", "50%25", "a&mode=rw"])
def test_a_home_may_be_called_anything(tmp_path, name):
    settings = Settings(home=tmp_path / name, database_url=None)
    assert run_query(settings, "SELECT COUNT(*) FROM leaderboard")[1] == [(0,)]
    with pytest.raises(KitsError):
        run_query(settings, "DELETE FROM dataset")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_sqlite_file_outside_the_home_is_asked_too(tmp_path):
    settings = Settings(home=tmp_path / "home", database_url=f"sqlite:///{tmp_path}/other.db")
    assert run_query(settings, "SELECT COUNT(*) FROM leaderboard")[1] == [(0,)]
    with sqlite3.connect(tmp_path / "other.db") as connection:
        assert connection.execute("SELECT COUNT(*) FROM leaderboard").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_a_file_has_no_readers_to_grant(settings):
    told = r"grant reader: expected a catalog on PostgreSQL, got sqlite:///.* no roles: .* KITS_HOME_GROUP .*mode=ro"
    with pytest.raises(KitsError, match=told):
        grant_reader(settings, "reader")
