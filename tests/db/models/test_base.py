from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from sqlalchemy import Enum, UniqueConstraint, select, text
from sqlalchemy.exc import IntegrityError, StatementError

from db.engine import catalog_session, open_catalog
from db.models import Base, Case, ClinicalRecord, Dataset, EpochMetric, Model, Problem, TrainingRun
from db.models.base import now

NATURAL_KEYS = {
    "dataset": [("name",)],
    "case": [("dataset_id", "name")],
    "clinical_record": [("case_id",)],
    "case_file": [("case_id", "kind", "version")],
    "label_volume": [("case_id", "label")],
    "problem": [],  # only while it is open
    "recipe": [("hash",)],
    "prepared_case": [("recipe_id", "case_id")],
    "ceiling": [("prepared_case_id", "region", "metric")],
    "forgotten": [("dataset_id", "digest")],
    "split": [("dataset_id", "hash")],
    "split_member": [("split_id", "case_id")],
    "trained_case": [("run_id", "case_id")],
    "training_run": [("recipe_id", "split_id", "config_hash", "data_hash")],
    "epoch_metric": [("run_id", "epoch", "name")],
    "model": [("run_id",)],
    "evaluation": [("model_id", "split_id", "subset", "flips")],
    "case_score": [("evaluation_id", "case_id", "region")],
    "scored_case": [("evaluation_id", "case_id")],
    "case_measurement": [("evaluation_id", "case_id", "structure", "name")],
    "prediction": [("key",)],
    "prediction_model": [("prediction_id", "model_id")],
    "measurement": [("prediction_id", "structure", "name")],
}

ENUMS = [
    (table.name, column.name)
    for table in Base.metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, Enum)
]


def test_now_is_in_utc():
    assert now().tzinfo is UTC


def test_text_that_no_database_stores_loses_one_letter_and_not_the_transaction(settings):
    odd = "caf\udce9\0.nii"
    with catalog_session(settings) as session:
        dataset = Dataset(name=odd, source="folder")
        case = Case(dataset=dataset, name="case_00000")
        session.add(case)
        session.flush()
        session.add(Problem(case_id=case.id, stage="ingest", error=odd))
        case.clinical = ClinicalRecord(extra={odd: [odd, {"x": odd}]})
    with catalog_session(settings) as session:
        kept = "caf\ufffd\ufffd.nii"
        assert session.scalars(select(Problem.error)).one() == kept
        assert session.scalars(select(Dataset).where(Dataset.name == odd)).one().name == kept
        assert session.scalars(select(ClinicalRecord.extra)).one() == {kept: [kept, {"x": kept}]}


def test_a_naive_time_is_refused(settings):
    with pytest.raises(StatementError, match="got the naive 2024-05-01T12:00:00"), catalog_session(settings) as session:
        session.add(Dataset(name="site", source="folder", created_at=datetime(2024, 5, 1, 12)))  # noqa: DTZ001


def test_a_naive_time_is_refused_in_a_condition(session):
    with pytest.raises(StatementError, match="has a zone"):
        session.scalars(select(Dataset).where(Dataset.created_at < datetime(2024, 5, 1))).all()  # noqa: DTZ001


def test_a_time_of_another_zone_comes_back_in_utc(settings):
    noon_in_delhi = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    with catalog_session(settings) as session:
        session.add(Dataset(name="site", source="folder", created_at=noon_in_delhi))
    with catalog_session(settings) as session:
        found = session.scalars(select(Dataset.created_at)).one()
    assert found == datetime(2024, 5, 1, 6, 30, tzinfo=UTC)
    assert found.tzinfo is UTC


def test_a_time_that_is_unknown_stays_unknown(session, small):
    assert session.scalars(select(Problem.resolved_at)).one() is None


def test_times_compare_as_instants(settings):
    with catalog_session(settings) as session:
        session.add(Dataset(name="site", source="folder", created_at=datetime(2024, 5, 1, 6, 30, tzinfo=UTC)))
    later = datetime(2024, 5, 1, 12, 1, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    with catalog_session(settings) as session:
        assert session.scalars(select(Dataset.name).where(Dataset.created_at < later)).all() == ["site"]
        assert not session.scalars(select(Dataset.name).where(Dataset.created_at > later)).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float32("nan")])
def test_a_number_that_is_not_finite_is_refused(settings, small, value):
    with pytest.raises(StatementError, match=r"is finite, got (nan|inf)"), catalog_session(settings) as session:
        session.add(EpochMetric(run_id=small.run, epoch=9, name="loss", value=value))


def test_numbers_of_numpy_are_stored_as_numbers(settings, small):
    with catalog_session(settings) as session:
        session.add(EpochMetric(run_id=small.run, epoch=9, name="loss", value=np.float32(0.5)))
        session.add(EpochMetric(run_id=small.run, epoch=9, name="dice", value=np.float64(0.1)))
    with open_catalog(settings).connect() as connection:
        found = connection.execute(text("SELECT value FROM epoch_metric WHERE epoch = 9 ORDER BY name")).scalars().all()
    assert found == [0.1, 0.5]


def test_the_database_refuses_words_that_an_enum_does_not_have(settings, small):
    assert len(ENUMS) == 9
    for table, column in ENUMS:
        with pytest.raises(IntegrityError, match=f"ck_{table}_{column}"), open_catalog(settings).begin() as connection:
            connection.execute(text(f"UPDATE \"{table}\" SET {column} = 'odd'"))


def test_a_row_with_an_odd_word_cannot_be_inserted(settings, small):
    with pytest.raises(IntegrityError, match="ck_case_status"), open_catalog(settings).begin() as connection:
        connection.execute(
            text(
                'INSERT INTO "case" (dataset_id, name, status, has_segmentation, updated_at, created_at) '
                "VALUES (1, 'case_00009', 'lost', true, '2024-05-01', '2024-05-01')"
            )
        )


def test_enums_are_stored_by_value(settings, small):
    with open_catalog(settings).connect() as connection:
        stored = connection.execute(text('SELECT DISTINCT status FROM "case" ORDER BY status')).scalars().all()
    assert stored == ["ingested", "pending", "quarantined"]


def test_natural_keys_are_unique(settings, small):
    stated = {
        table.name: sorted(
            tuple(column.name for column in constraint.columns)
            for constraint in table.constraints
            if isinstance(constraint, UniqueConstraint)
        )
        for table in Base.metadata.tables.values()
    }
    assert stated == NATURAL_KEYS
    for table in Base.metadata.sorted_tables:
        columns = ", ".join(f'"{column.name}"' for column in table.columns if column.name != "id")
        again = f'INSERT INTO "{table.name}" ({columns}) SELECT {columns} FROM "{table.name}" LIMIT 1'
        with pytest.raises(IntegrityError, match=r"(?i)unique"), open_catalog(settings).begin() as connection:
            connection.execute(text(again))


def test_cases_of_two_datasets_may_share_a_name(session, small):
    assert len(session.scalars(select(Case).where(Case.name == "case_00000")).all()) == 2


def test_there_is_one_champion_at_most(settings, small):
    with catalog_session(settings) as session:
        run = TrainingRun(
            recipe_id=small.recipe, split_id=small.split, config={}, config_hash="d", data_hash="e", environment={}
        )
        session.add(run)
        session.flush()
        rival = Model(run_id=run.id, epoch=1, path="p", sha256="s", score=0.1, parameters=1)
        session.add(rival)
        session.flush()
        assert not rival.is_champion
    with pytest.raises(IntegrityError, match=r"(?i)unique"), catalog_session(settings) as session:
        session.get_one(Model, rival.id).is_champion = True


def test_one_problem_a_case_and_stage_is_open_and_many_are_resolved(settings, small):
    case = small.cases[3]
    with catalog_session(settings) as session:
        session.add_all(Problem(case_id=case, stage="ingest", error="e", resolved_at=now()) for _ in range(2))
        session.add(Problem(case_id=case, stage="prepare", error="e"))
    with pytest.raises(IntegrityError, match=r"(?i)unique"), catalog_session(settings) as session:
        session.add(Problem(case_id=case, stage="ingest", error="e"))
