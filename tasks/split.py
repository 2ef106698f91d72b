"""A split of a dataset's cases, as rows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prefect import task

from db.models import Case, CaseStatus, FileKind, SplitMember, Subset
from db.queries import ingest as ingest_queries
from db.queries import split as queries
from kits_core.errors import KitsError
from kits_core.labels import Label
from kits_core.split import StratumFacts, check_leaks, make_split, split_hash
from tasks.catalog import catalog, flow_run_id
from tasks.policy import CATALOG


@dataclass(frozen=True)
class SplitMade:
    """A split in the catalog; `comparison` sets its sides beside each other, a row a property."""

    split_id: int
    dataset: str
    train: int
    validation: int
    comparison: list[dict[str, str]]


@task(name="split-dataset", **CATALOG)
def split_dataset(dataset: str | None, *, validation: float, folds: int | None, seed: int) -> SplitMade:
    """Split the ingested cases that have a reference; the same cases and settings give the row that is there."""
    with catalog() as session:
        row = ingest_queries.find_dataset(session, dataset)
        cases = [c for c in ingest_queries.cases_of(session, row.id, CaseStatus.INGESTED) if c.has_segmentation]
        _refuse_twins(cases)
        facts = {case.name: _facts(case) for case in cases}
        digest = split_hash(facts, validation=validation, folds=folds, seed=seed)
        split = queries.split_of_hash(session, digest)
        if split is None:
            split = queries.record_split(
                session,
                dataset_id=row.id,
                split_hash=digest,
                seed=seed,
                validation=validation,
                folds=folds,
                plan=make_split(facts, validation=validation, folds=folds, seed=seed),
                case_ids={case.name: case.id for case in cases},
                flow_run_id=flow_run_id(),
            )
            session.flush()
        sides = {subset: queries.side(session, split.id, subset, fold=None) for subset in Subset}
        check_members(sides)
        cases_of = {subset.value: [member.case for member in side] for subset, side in sides.items()}
        train, validation = (len(cases_of[subset.value]) for subset in (Subset.TRAIN, Subset.VALIDATION))
        return SplitMade(split.id, row.name, train, validation, _compare(cases_of))


def _facts(case: Case) -> StratumFacts:
    ml = {volume.label: volume.ml for volume in case.volumes}
    return StratumFacts(
        tumor_ml=ml.get(Label.TUMOR, 0.0),
        phase=case.phase.value if case.phase else None,
        has_cyst=ml.get(Label.CYST, 0.0) > 0,
        patient=case.clinical.patient_id if case.clinical else None,
    )


def check_members(sides: Mapping[Subset, Sequence[SplitMember]]) -> None:
    """Raise `KitsError` where the same patient or the same image stands on both sides of a split."""
    members = [member for side in sides.values() for member in side]
    check_leaks(
        {member.case.name: subset.value for subset, side in sides.items() for member in side},
        patients={member.case.name: m.patient_id for member in members if (m := member.case.clinical)},
        images={member.case.name: file.sha256 for member in members if (file := member.case.file(FileKind.IMAGE))},
    )


def _refuse_twins(cases: list[Case]) -> None:
    """Two cases with one image would put the same patient on both sides."""
    hashes = {case.name: file.sha256 for case in cases if (file := case.file(FileKind.IMAGE))}
    counts = Counter(hashes.values())
    twins = [name for name, sha256 in hashes.items() if counts[sha256] > 1]
    if twins:
        raise KitsError(
            f"{', '.join(twins)}: expected every case to have an image of its own, got the same image in these; "
            "remove all but one of them from the source and ingest it under another dataset name"
        )


def _compare(sides: dict[str, list[Case]]) -> list[dict[str, str]]:
    def row(title: str, describe: object) -> dict[str, str]:
        return {"of the cases": title} | {side: describe(cases) for side, cases in sides.items()}  # type: ignore[operator]

    return [
        row("cases", lambda cases: str(len(cases))),
        row("tumour, median ml", lambda cases: _median([_facts(case).tumor_ml for case in cases])),
        row("with a cyst", lambda cases: _share([_facts(case).has_cyst for case in cases])),
        row("age, median", lambda cases: _median([c.clinical.age_years for c in cases if c.clinical])),
        row("men", lambda cases: _share([c.clinical.sex == "male" for c in cases if c.clinical])),
        row("stage T1", lambda cases: _share([_stage(c).startswith("1") for c in cases if c.clinical])),
        row("clear cell", lambda cases: _share([_histology(c) == "clear_cell_rcc" for c in cases if c.clinical])),
    ]


def _stage(case: Case) -> str:
    return (case.clinical.pathology_t_stage or "") if case.clinical else ""


def _histology(case: Case) -> str:
    return (case.clinical.tumor_histologic_subtype or "") if case.clinical else ""


def _median(values: list[float | int | None]) -> str:
    known = sorted(value for value in values if value is not None)
    return f"{known[len(known) // 2]:.0f}" if known else "unknown"


def _share(flags: list[bool]) -> str:
    return f"{sum(flags) / len(flags):.0%}" if flags else "unknown"
