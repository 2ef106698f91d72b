from typing import Any

import pytest
from sqlalchemy import func, select

from db.engine import catalog_session
from db.models import Case, CaseFile, CaseStatus, ClinicalRecord, Dataset, FileKind, LabelVolume, Phase, Problem
from db.queries import ingest
from kits_core.errors import KitsError


def _dataset(session, name="site"):
    return ingest.ensure_dataset(session, name=name, source="folder", revision=None, flow_run_id=None)


def _count(session, table):
    return session.scalar(select(func.count()).select_from(table))


def test_a_dataset_is_made_once_and_brought_up_to_date(session):
    first = ingest.ensure_dataset(session, name="site", source="folder", revision=None, flow_run_id="flow-1")
    again = ingest.ensure_dataset(session, name="site", source="elsewhere", revision="v2", flow_run_id="flow-2")
    assert again is first
    assert (again.source, again.revision, again.flow_run_id) == ("elsewhere", "v2", "flow-1")
    assert _count(session, Dataset) == 1


def test_no_dataset_can_be_found_in_an_empty_catalog(session):
    for name in (None, "site"):
        with pytest.raises(KitsError, match=r"the catalog has: none; .* run kits ingest"):
            ingest.find_dataset(session, name)


def test_the_only_dataset_needs_no_name(session):
    only = _dataset(session)
    assert ingest.find_dataset(session, None) is only
    assert ingest.find_dataset(session, "site") is only
    with pytest.raises(KitsError, match="expected a dataset called kits23; the catalog has: site; name one of these"):
        ingest.find_dataset(session, "kits23")


def test_one_of_several_datasets_needs_its_name(session):
    wanted, _ = _dataset(session, "a"), _dataset(session, "b")
    assert ingest.find_dataset(session, "a") is wanted
    with pytest.raises(KitsError, match="the name of one of several; the catalog has: a, b; name one of these"):
        ingest.find_dataset(session, None)


def test_a_case_is_made_once(session):
    site = _dataset(session)
    case = ingest.ensure_case(session, site, "case_00000", phase="arterial", flow_run_id="flow-1")
    again = ingest.ensure_case(session, site, "case_00000", phase="nephrogenic", flow_run_id="flow-2")
    assert again is case
    assert (again.status, again.phase, again.flow_run_id) == (CaseStatus.PENDING, Phase.NEPHROGENIC, "flow-1")
    assert _count(session, Case) == 1


def test_cases_come_by_name_and_status_with_all_at_hand(settings, small):
    with catalog_session(settings) as session:
        everything = ingest.cases_of(session, small.dataset)
        ingested = ingest.cases_of(session, small.dataset, CaseStatus.INGESTED)
    assert [case.name for case in everything] == ["case_00000", "case_00001", "case_00002", "case_00003"]
    assert [case.name for case in ingested] == ["case_00000", "case_00001", "case_00002"]
    # After the session's end, so nothing can be loaded late.
    first = everything[0]
    assert first.file(FileKind.IMAGE).sha256 == "sha-image-0"
    assert {volume.label for volume in first.volumes} == {1, 2, 3}
    assert first.clinical.age_years == 61
    assert everything[3].file(FileKind.IMAGE) is None
    assert everything[3].clinical is None


def test_cases_come_by_name_whatever_their_order_of_arrival(session):
    site = _dataset(session)
    for name in ("case_00002", "case_00000", "case_00001"):
        ingest.ensure_case(session, site, name)
    assert [case.name for case in ingest.cases_of(session, site.id)] == ["case_00000", "case_00001", "case_00002"]


def test_the_archive_that_is_known_brings_its_row_up_to_date(session, file_facts):
    case = ingest.ensure_case(session, _dataset(session), "case_00000")
    first = ingest.record_file(session, case, FileKind.IMAGE, file_facts("image") | {"hu_percentiles": {"p50": 1}})
    made = first.created_at
    again = ingest.record_file(session, case, FileKind.IMAGE, file_facts("image") | {"etag": "other"})
    assert again is first
    assert (again.version, again.etag, again.hu_percentiles) == (1, "other", {"p50": 1})
    assert again.created_at > made
    ingest.record_file(session, case, FileKind.SEGMENTATION, file_facts("other"))
    assert _count(session, CaseFile) == 2


def test_another_archive_is_a_new_version_and_the_old_row_stays(session, file_facts):
    case = ingest.ensure_case(session, _dataset(session), "case_00000")
    for name in ("first", "second", "first"):
        ingest.record_file(session, case, FileKind.IMAGE, file_facts(name))
    rows = session.scalars(select(CaseFile).order_by(CaseFile.version)).all()
    assert [(row.version, row.sha256, row.superseded_at is None) for row in rows] == [
        (1, "sha-first", False),
        (2, "sha-second", False),
        (3, "sha-first", True),
    ]
    assert case.file(FileKind.IMAGE) is rows[2]


def test_what_vanished_is_marked_once_and_unmarked_when_it_is_back(session, file_facts):
    case = ingest.ensure_case(session, _dataset(session), "case_00000")
    image = ingest.record_file(session, case, FileKind.IMAGE, file_facts("image"))
    labels = ingest.record_file(session, case, FileKind.SEGMENTATION, file_facts("labels"))
    ingest.mark_presence(session, [image.id], [labels.id])
    session.expire_all()
    first = labels.vanished_at
    assert (image.vanished_at, first is None) == (None, False)
    ingest.mark_presence(session, [image.id], [labels.id])
    session.expire_all()
    assert labels.vanished_at == first
    ingest.mark_presence(session, [image.id, labels.id], [])
    session.expire_all()
    assert labels.vanished_at is None


def test_files_of_more_than_two_gigabytes_and_lists_come_back_whole(settings, file_facts):
    with catalog_session(settings) as session:
        case = ingest.ensure_case(session, _dataset(session), "case_00000")
        ingest.record_file(session, case, FileKind.IMAGE, file_facts("image"))
    with catalog_session(settings) as session:
        file = session.scalars(select(CaseFile)).one()
        assert {key: getattr(file, key) for key in file_facts("image")} == file_facts("image")


def test_label_volumes_are_replaced(settings, small):
    with catalog_session(settings) as session:
        case = session.get_one(Case, small.cases[0])
        for _ in range(2):
            ingest.record_label_volumes(session, case, {1: (5_000_000_000, 5.0), 2: (0, 0.0)})
        rows = session.execute(
            select(LabelVolume.label, LabelVolume.voxels, LabelVolume.ml)
            .where(LabelVolume.case_id == case.id)
            .order_by(LabelVolume.label)
        ).all()
        assert rows == [(1, 5_000_000_000, 5.0), (2, 0, 0.0)]
        assert _count(session, LabelVolume) == 2 + 4


def test_clinical_records_are_replaced_and_strangers_are_left_out(settings, small):
    records: list[dict[str, Any]] = [
        {"case_id": "case_00001", "sex": "male", "malignant": True, "extra": {"comorbidities": {"copd": False}}},
        {"case_id": "case_00588", "sex": "male", "extra": {}},
    ]
    with catalog_session(settings) as session:
        site = session.get_one(Dataset, small.dataset)
        for digest in ("one", "two"):
            assert ingest.record_clinical(session, site, records, digest) == 1
        assert site.clinical_sha256 == "two"
        record = session.scalars(select(ClinicalRecord)).one()
        assert (record.case_id, record.malignant, record.age_years) == (small.cases[1], True, None)
        assert record.extra == {"comorbidities": {"copd": False}}


def test_clinical_records_of_another_dataset_stay(settings, small):
    with catalog_session(settings) as session:
        other = ingest.find_dataset(session, "other")
        assert ingest.record_clinical(session, other, [{"case_id": "case_00000", "extra": {}}], "sha") == 1
        assert _count(session, ClinicalRecord) == 2


def test_a_record_that_is_refused_is_a_problem_until_it_is_right(settings, small):
    with catalog_session(settings) as session:
        site = session.get_one(Dataset, small.dataset)
        good = [{"case_id": "case_00001", "extra": {}}]
        refused = {"case_00000": "case_00000: bad", "case_00588": "case_00588: bad"}
        for attempts in (1, 2):
            ingest.record_clinical(session, site, good, "one", refused=refused, flow_run_id="a")
            problem = session.scalars(select(Problem).where(Problem.stage == ingest.CLINICAL)).one()
            assert (problem.case_id, problem.error, problem.attempts) == (small.cases[0], "case_00000: bad", attempts)
            assert problem.resolved_at is None
        ingest.record_clinical(session, site, good, "two")
        assert session.scalars(select(Problem).where(Problem.stage == ingest.CLINICAL)).one().resolved_at is not None


def test_the_widest_values_of_a_record_fit_the_catalog(settings, small):
    widest = {
        "case_id": "case_00001", "age_years": 2**31 - 1, "vital_days_after_surgery": -(2**31), "body_mass_index": 1e308,
        "sex": "\U0001f600" * 1000, "extra": {"a": 2**63 - 1, "b": [[[-(2**63)]]], "c": 5e-324, "\u2028": "\x01"},
    }  # fmt: skip
    with catalog_session(settings) as session:
        site = session.get_one(Dataset, small.dataset)
        assert ingest.record_clinical(session, site, [widest], "one") == 1
    with catalog_session(settings) as session:
        record = session.scalars(select(ClinicalRecord).where(ClinicalRecord.case_id == small.cases[1])).one()
        assert {name: getattr(record, name) for name in widest if name != "case_id"} == {
            name: value for name, value in widest.items() if name != "case_id"
        }


def test_a_problem_that_is_met_again_is_counted(session):
    case = ingest.ensure_case(session, _dataset(session), "case_00000")
    for attempt in (1, 2, 3):
        ingest.record_problem(session, case.id, "ingest", f"error {attempt}", f"flow-{attempt}")
    problem = session.scalars(select(Problem)).one()
    assert (problem.attempts, problem.error, problem.flow_run_id) == (3, "error 3", "flow-3")
    assert problem.first_seen < problem.last_seen


def test_a_resolved_problem_is_history_and_a_new_one_is_opened(session):
    case = ingest.ensure_case(session, _dataset(session), "case_00000")
    for _ in range(2):
        ingest.record_problem(session, case.id, "ingest", "error", None)
        ingest.record_problem(session, case.id, "prepare", "error", None)
        ingest.resolve_problems(session, case.id, "ingest")
        ingest.resolve_problems(session, case.id, "ingest")
    ingest_rows = session.scalars(select(Problem).where(Problem.stage == "ingest")).all()
    assert [row.attempts for row in ingest_rows] == [1, 1]
    assert all(row.resolved_at is not None for row in ingest_rows)
    prepare_row = session.scalars(select(Problem).where(Problem.stage == "prepare")).one()
    assert (prepare_row.attempts, prepare_row.resolved_at) == (2, None)


def test_kits23_at_another_revision_is_the_same_source_and_another_folder_is_not(settings, small):
    def ensure(session, name, source, revision, **more):
        return ingest.ensure_dataset(session, name=name, source=source, revision=revision, flow_run_id=None, **more)

    with catalog_session(settings) as session:
        dataset = session.get_one(Dataset, small.dataset)
        dataset.source, dataset.revision = "https://host/main", "images main"
        ensure(session, dataset.name, "https://mirror/abc", "images abc")
        with pytest.raises(KitsError, match=r"expected its source, https://mirror/abc, got /data; .*--replace-source"):
            ensure(session, dataset.name, "/data", None)
        assert ensure(session, dataset.name, "/data", None, replace=True).source == "/data"
