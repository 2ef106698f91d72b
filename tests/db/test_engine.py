import multiprocessing
import sqlite3
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from db.engine import CatalogUnreachableError, catalog_session, open_catalog, reading_session
from db.models import Case, Dataset
from db.queries.ingest import ensure_case, ensure_dataset
from db.settings import Settings
from kits_core.errors import KitsError

PROCESSES = 4


def _open_and_write(settings, barrier, outcomes, number):
    barrier.wait()
    try:
        with catalog_session(settings) as session:
            ensure_dataset(session, name=f"site {number}", source="folder", revision=None, flow_run_id=None)
        outcomes.put("fine")
    except BaseException as error:  # noqa: BLE001 - the parent must hear of anything
        outcomes.put(repr(error))


@pytest.mark.parametrize("_round", range(3))
def test_processes_may_open_a_fresh_catalog_at_the_same_time(fresh, _round):
    fork = multiprocessing.get_context("fork")
    barrier, outcomes = fork.Barrier(PROCESSES), fork.Queue()
    processes = [
        fork.Process(target=_open_and_write, args=(fresh, barrier, outcomes, number)) for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    assert [outcomes.get(timeout=60) for _ in processes] == ["fine"] * PROCESSES
    for process in processes:
        process.join()
    with catalog_session(fresh) as session:
        assert session.query(Dataset).count() == PROCESSES


def test_threads_may_open_a_fresh_catalog_at_the_same_time(fresh):
    errors = _in_threads(4, lambda _number: open_catalog(fresh))
    assert errors == []


def test_threads_that_write_lose_nothing(settings):
    with catalog_session(settings) as session:
        dataset = ensure_dataset(session, name="site", source="folder", revision=None, flow_run_id=None)

    def write(thread):
        for number in range(40):
            with catalog_session(settings) as session:
                ensure_case(session, session.get_one(Dataset, dataset.id), f"case_{thread}{number:04d}")

    assert _in_threads(2, write) == []
    with catalog_session(settings) as session:
        assert session.query(Case).count() == 80


def test_threads_that_read_before_they_write_lose_no_count(settings):
    """The case that SQLite fails at once, whatever the busy time-out, unless the write lock is taken first."""
    with catalog_session(settings) as session:
        ensure_dataset(session, name="site", source="0", revision=None, flow_run_id=None)

    def count_up(_thread):
        for _ in range(30):
            with catalog_session(settings) as session:
                dataset = session.query(Dataset).with_for_update().one()
                dataset.source = str(int(dataset.source) + 1)

    assert _in_threads(2, count_up) == []
    with catalog_session(settings) as session:
        assert session.query(Dataset).one().source == "60"


def test_a_block_that_fails_writes_nothing(settings):
    with pytest.raises(RuntimeError), catalog_session(settings) as session:
        ensure_dataset(session, name="site", source="folder", revision=None, flow_run_id=None)
        raise RuntimeError
    with catalog_session(settings) as session:
        assert session.query(Dataset).count() == 0


def test_rows_can_be_read_after_their_session(settings):
    with catalog_session(settings) as session:
        dataset = ensure_dataset(session, name="site", source="folder", revision=None, flow_run_id=None)
    assert dataset.name == "site"


def test_one_engine_a_process_and_address(settings):
    assert open_catalog(settings) is open_catalog(settings)


def test_a_foreign_key_must_exist(settings):
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"), catalog_session(settings) as session:
        session.add(Case(dataset_id=99, name="case_00000"))


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_sqlite_survives_a_power_cut_and_lets_readers_read_on(settings):
    with open_catalog(settings).connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_sqlite_waits_with_the_switch_to_wal_for_a_writer(tmp_path):
    """SQLite itself fails here at once: `PRAGMA journal_mode` does not heed the busy time-out."""
    writer = sqlite3.connect(tmp_path / "catalog.db", check_same_thread=False, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("CREATE TABLE early (id INTEGER)")
    release = threading.Timer(0.3, writer.execute, ["COMMIT"])
    release.start()
    with open_catalog(Settings(home=tmp_path, database_url=None)).connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    release.join()
    writer.close()


@pytest.mark.parametrize("name", ["with space", "who?", "a#b", "100%", "50%25"])
def test_a_home_may_be_called_anything(tmp_path, name):
    settings = Settings(home=tmp_path / name, database_url=None)
    with catalog_session(settings) as session:
        ensure_dataset(session, name="site", source="folder", revision=None, flow_run_id=None)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "catalog.db").is_file()


def test_an_address_may_be_relative_to_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_catalog(Settings(home=tmp_path / "home", database_url="sqlite:///here.db"))
    assert (tmp_path / "here.db").is_file()


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path):
    settings = Settings(home=tmp_path, database_url="postgresql://user:s3cret@127.0.0.1:1/kits")
    expected = r"(?s)127\.0\.0\.1:1/kits.*check KITS_HOME, KITS_DATABASE_URL"
    with pytest.raises(CatalogUnreachableError, match=expected) as caught:
        open_catalog(settings)
    assert "s3cret" not in str(caught.value)


def test_a_home_that_is_a_file_is_named(tmp_path):
    (tmp_path / "home").touch()
    with pytest.raises(KitsError, match=r"home/catalog\.db.*check KITS_HOME"):
        open_catalog(Settings(home=tmp_path / "home", database_url=None))


def _in_threads(count, work):
    errors = []

    def run(number):
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 - the test shows it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_a_reading_session_waits_for_no_writer_and_cannot_write(settings):
    with catalog_session(settings) as writer:
        ensure_dataset(writer, name="a", source="x", revision=None, flow_run_id=None)
        with reading_session(settings) as session:
            assert session.query(Dataset).count() == 0
    with pytest.raises(RuntimeError, match="cannot write"), reading_session(settings) as session:
        session.add(Dataset(name="b", source="y"))
    with reading_session(settings) as session:
        assert [row.name for row in session.query(Dataset)] == ["a"]
