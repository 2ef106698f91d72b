"""Datasets, cases, files and problems. Every write may be repeated."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session, selectinload

from db.models import Case, CaseFile, CaseStatus, ClinicalRecord, Dataset, FileKind, LabelVolume, Phase, Problem
from db.models.base import now
from db.queries.turns import find_or_add, take_turn
from kits_core.errors import KitsError
from kits_core.labels import Label

CLINICAL = "clinical"
"""Stage of problems with clinical records. Such a problem does not affect the case itself."""
_PHASE_KEYS = ("phase", "contrast_phase")
_KITS_VALUES = {str(int(label)): label.name.lower() for label in Label}


def ensure_dataset(
    session: Session,
    *,
    name: str,
    source: str,
    revision: str | None,
    layout: str = "kits",
    label_values: dict[str, str] | None = None,
    replace: bool = False,
    flow_run_id: str | None,
) -> Dataset:
    """The dataset of a name, made or brought up to date.

    `label_values`: what values of its segmentations mean, or what was said of names of structures; None where the usual
    counts. Raises `KitsError` where its
    files came from another source, unless `replace` says that it moved, or with another meaning of their values.
    """
    dataset = find_or_add(session, Dataset, {"name": name}, flow_run_id=flow_run_id)
    if dataset.source is not None and _has_files(session, dataset):
        # A source with versions is KiTS23 itself, at another revision or mirror.
        moved = dataset.source != source and not (dataset.revision and revision)
        if moved and not replace:
            raise KitsError(
                f"{name}: expected its source, {dataset.source}, got {source}; give the new one a name of its own with "
                "--dataset NAME, or say with --replace-source that the same data moved"
            )
        _refuse_other_meaning(dataset, layout, label_values)
    dataset.source, dataset.revision = source, revision
    dataset.layout, dataset.label_values = layout, label_values
    session.flush()
    return dataset


def _has_files(session: Session, dataset: Dataset) -> bool:
    of_it = select(CaseFile.id).join(Case).where(Case.dataset_id == dataset.id).limit(1)
    return session.scalar(of_it) is not None


def _refuse_other_meaning(dataset: Dataset, layout: str, label_values: Mapping[str, str] | None) -> None:
    """New meanings for further values are allowed: cases with such values were refused until now."""
    usual: Mapping[str, str] = {} if layout == "dicom" else _KITS_VALUES
    before, now_said = dataset.label_values or usual, label_values or usual
    other = [value for value in before if value in now_said and before[value] != now_said[value]]
    if other:
        was, is_now = (", ".join(f"{value} {meaning[value]}" for value in other) for meaning in (before, now_said))
        raise KitsError(
            f"{dataset.name}: expected segmentations whose values mean the same as those here ({was}), got another "
            f"meaning ({is_now}); give it a name of its own with --dataset NAME"
        )


def find_dataset(session: Session, name: str | None) -> Dataset:
    """The dataset of a name, or the only one. Raises `KitsError` where there is none, or several and no name."""
    datasets = {dataset.name: dataset for dataset in session.scalars(select(Dataset).order_by(Dataset.name))}
    if name is None and len(datasets) == 1:
        return next(iter(datasets.values()))
    if name in datasets:
        return datasets[name]
    known = ", ".join(datasets) or "none"
    wanted = f"a dataset called {name}" if name else "one dataset, or the name of one of several"
    raise KitsError(f"expected {wanted}; the catalog has: {known}; name one of these, or run kits ingest")


def dataset_names(session: Session) -> list[str]:
    """The names of all datasets."""
    return list(session.scalars(select(Dataset.name).order_by(Dataset.name)))


def ensure_case(
    session: Session, dataset: Dataset, name: str, *, phase: str | None = None, flow_run_id: str | None = None
) -> Case:
    """The case of a name in a dataset, made if it is new."""
    case = find_or_add(session, Case, {"dataset_id": dataset.id, "name": name}, flow_run_id=flow_run_id)
    if phase is not None:
        case.phase = Phase(phase)
    session.flush()
    return case


def cases_of(session: Session, dataset_id: int, status: CaseStatus | None = None) -> list[Case]:
    """The cases of a dataset in the order of their names, files, volumes and clinical records at hand."""
    query = select(Case).where(Case.dataset_id == dataset_id).order_by(Case.name)
    if status is not None:
        query = query.where(Case.status == status)
    options = (selectinload(Case.files), selectinload(Case.volumes), selectinload(Case.clinical))
    return list(session.scalars(query.options(*options)))


def newest_file(session: Session, case_id: int, kind: FileKind) -> CaseFile | None:
    """The newest version of a case's file of a kind."""
    return session.scalar(
        select(CaseFile).where(CaseFile.case_id == case_id, CaseFile.kind == kind, CaseFile.superseded_at.is_(None))
    )


def newest_file_of(session: Session, dataset: str, case: str, kind: FileKind) -> CaseFile | None:
    """The newest version of a file of the case of a name."""
    of_name = select(CaseFile).join(Case).join(Dataset).where(Dataset.name == dataset, Case.name == case)
    return session.scalar(of_name.where(CaseFile.kind == kind, CaseFile.superseded_at.is_(None)))


def version_of(newest: CaseFile | None, archive_sha256: str) -> int:
    """The version number of an archive, or the one that it would get after the `newest`."""
    return 1 if newest is None else newest.version + (newest.archive_sha256 != archive_sha256)


def record_file(session: Session, case: Case, kind: FileKind, facts: Mapping[str, Any]) -> CaseFile:
    """The row of a case's file; `facts` are the other columns of `case_file`, without those of versions.

    A known archive updates its row. Another archive makes a new version; the old row stays.
    """
    take_turn(session, Case, case.id)
    file = newest_file(session, case.id, kind)
    version = version_of(file, facts["archive_sha256"])
    if file is None or file.version != version:
        if file is not None:
            file.superseded_at = now()
            session.flush()  # before the new row, because only one is the newest
        file = CaseFile(case_id=case.id, kind=kind, version=version)
        session.add(file)
    file.created_at, file.vanished_at, file.voxels_sha256 = now(), None, None
    for column, value in facts.items():
        setattr(file, column, value)
    session.flush()
    session.expire(case, ["files"])
    return file


def mark_presence(session: Session, present: Iterable[int], vanished: Iterable[int]) -> None:
    """Note which newest files (ids of `case_file`) the source still has, and which it was first seen without."""
    for ids, value, was in (
        (list(present), None, CaseFile.vanished_at.is_not(None)),
        (list(vanished), now(), CaseFile.vanished_at.is_(None)),
    ):
        session.execute(update(CaseFile).where(CaseFile.id.in_(ids), was).values(vanished_at=value))


def record_label_volumes(session: Session, case: Case, volumes: Mapping[int, tuple[int, float]]) -> None:
    """Write voxels and ml of each label, replacing earlier values."""
    take_turn(session, Case, case.id)
    session.execute(delete(LabelVolume).where(LabelVolume.case_id == case.id))
    session.add_all(
        LabelVolume(case_id=case.id, label=label, voxels=voxels, ml=ml) for label, (voxels, ml) in volumes.items()
    )


def record_clinical(
    session: Session,
    dataset: Dataset,
    records: Iterable[Mapping[str, Any]],
    sha256: str,
    *,
    refused: Mapping[str, str] | None = None,
    flow_run_id: str | None = None,
) -> int:
    """Clinical records of the dataset's cases, in place of what was known; how many cases there are for them.

    Each record has `case_id` (the case's name) and the columns of `clinical_record`. `refused`: reasons by name of the
    cases whose record cannot be used; they become open problems, and those of the other cases are closed.
    """
    take_turn(session, Dataset, dataset.id)
    ids = {case.name: case.id for case in session.scalars(select(Case).where(Case.dataset_id == dataset.id))}
    known = [record for record in records if record["case_id"] in ids]
    session.execute(delete(ClinicalRecord).where(ClinicalRecord.case_id.in_(ids.values())))
    session.add_all(ClinicalRecord(**{**record, "case_id": ids[record["case_id"]]}) for record in known)
    for record in known:
        _take_phase(session.get_one(Case, ids[record["case_id"]]), record)
    dataset.clinical_sha256 = sha256
    reasons = {ids[name]: reason for name, reason in (refused or {}).items() if name in ids}
    for case_id, reason in reasons.items():
        record_problem(session, case_id, CLINICAL, reason, flow_run_id)
    open_ones = select(Problem).where(
        Problem.case_id.in_(ids.values()), Problem.stage == CLINICAL, Problem.resolved_at.is_(None)
    )
    for problem in session.scalars(open_ones):
        if problem.case_id not in reasons:
            problem.resolved_at = now()
    return len(known)


def merge_clinical(session: Session, dataset: Dataset, records: Iterable[Mapping[str, Any]]) -> None:
    """Clinical records in place of those of the same cases; other cases keep theirs.

    Each record has `case_id` (the name of a case, else it is passed over) and the columns of `clinical_record`. A
    patient's id that a record does not state stays.
    """
    take_turn(session, Dataset, dataset.id)
    cases = {case.name: case for case in cases_of(session, dataset.id)}
    for record in records:
        case = cases.get(record["case_id"])
        if case is None:
            continue
        values = {**record, "case_id": case.id}
        if case.clinical is not None:
            values["patient_id"] = record["patient_id"] or case.clinical.patient_id
            session.delete(case.clinical)
            session.flush()
        session.add(ClinicalRecord(**values))
        _take_phase(case, record)


def _take_phase(case: Case, record: Mapping[str, Any]) -> None:
    """Set the contrast phase, if a record has it under one of its usual names; other words change nothing."""
    for key in _PHASE_KEYS:
        word = str(record["extra"].get(key) or "").strip().lower()
        if word in set(Phase):
            case.phase = Phase(word)
            return


def record_patients(session: Session, patients: Mapping[int, str]) -> None:
    """Note whose scans cases are, by the case's id, as their files say."""
    records = select(ClinicalRecord).where(ClinicalRecord.case_id.in_(patients))
    known = {record.case_id: record for record in session.scalars(records)}
    for case_id, patient in patients.items():
        if case_id in known:
            known[case_id].patient_id = patient
        else:
            session.add(ClinicalRecord(case_id=case_id, patient_id=patient, extra={}))


def record_problem(session: Session, case_id: int, stage: str, error: str, flow_run_id: str | None) -> None:
    """Open a problem, or count one more attempt at the open one."""
    take_turn(session, Case, case_id)
    problem = session.scalar(
        select(Problem).where(Problem.case_id == case_id, Problem.stage == stage, Problem.resolved_at.is_(None))
    )
    if problem is None:
        session.add(Problem(case_id=case_id, stage=stage, error=error, flow_run_id=flow_run_id))
        return
    problem.error, problem.last_seen, problem.flow_run_id = error, now(), flow_run_id
    problem.attempts += 1


def resolve_problems(session: Session, case_id: int, stage: str) -> None:
    """Close the open problem: the stage has succeeded."""
    take_turn(session, Case, case_id)
    open_ones = select(Problem).where(Problem.case_id == case_id, Problem.stage == stage, Problem.resolved_at.is_(None))
    for problem in session.scalars(open_ones):
        problem.resolved_at = now()
