"""A split of a dataset's cases, as rows."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from sqlalchemy.orm import Session

from db.models import Case, CaseFile, CaseStatus, FileKind, Split, SplitMember, Subset
from db.queries import ingest as ingest_queries
from db.queries import split as queries
from db.settings import current_settings
from kits_core.errors import KitsError
from kits_core.grown_split import grow_split
from kits_core.labels import Label
from kits_core.own_folds import as_split, check_cases, own_hash, read_folds
from kits_core.split import StratumFacts, check_leaks, make_split, split_hash
from kits_core.text import listed
from tasks.catalog import catalog, flow_run_id, reading
from tasks.policy import CATALOG


@dataclass(frozen=True)
class SplitMade:
    """A split in the catalog; `comparison` compares its sides, one row a property."""

    split_id: int
    dataset: str
    train: int
    validation: int
    comparison: list[dict[str, str]]


@dataclass(frozen=True)
class Wanted:
    """How a dataset is to be split: by shares and a seed, as the file `own` says, or with the sides of split `keep`."""

    validation: float
    folds: int | None
    seed: int
    own: str | None = None
    keep: int | None = None


@task(name="split-dataset", **CATALOG)
def split_dataset(dataset: str | None, wanted: Wanted) -> SplitMade:
    """Split the ingested cases that have a reference; the same cases and settings give the row that is there."""
    _tell_images_apart(dataset)
    with catalog() as session:
        row = ingest_queries.find_dataset(session, dataset)
        cases = _cases_with_reference(session, row.id)
        _refuse_twins(cases)
        facts = {case.name: _facts(case) for case in cases}
        make = _own if wanted.own else _made if wanted.keep is None else _grown
        split = make(session, row.id, cases, facts, wanted)
        sides = {subset: queries.side(session, split.id, subset, fold=None) for subset in Subset}
        check_members(sides)
        cases_of = {subset.value: [member.case for member in side] for subset, side in sides.items()}
        train, validation = (len(cases_of[subset.value]) for subset in (Subset.TRAIN, Subset.VALIDATION))
        return SplitMade(split.id, row.name, train, validation, _compare(cases_of))


def _made(
    session: Session, dataset_id: int, cases: Sequence[Case], facts: Mapping[str, StratumFacts], wanted: Wanted
) -> Split:
    """The split that the settings make of the cases, made only if it is not there."""
    settings: Any = {"validation": wanted.validation, "folds": wanted.folds, "seed": wanted.seed}
    digest = split_hash(facts, **settings)
    return queries.split_of_hash(session, dataset_id, digest) or queries.record_split(
        session,
        dataset_id=dataset_id,
        split_hash=digest,
        plan=make_split(facts, **settings),
        case_ids={case.name: case.id for case in cases},
        flow_run_id=flow_run_id(),
        **settings,
    )


def _own(
    session: Session, dataset_id: int, cases: Sequence[Case], facts: Mapping[str, StratumFacts], wanted: Wanted
) -> Split:
    """The split that a file says. Cases that it does not name are left out."""
    file = Path(wanted.own or "").expanduser()
    folds = read_folds(file)
    check_cases(file, folds, facts)
    plan = as_split(folds)
    check_leaks(
        {case: f"fold {fold}" for case, fold in plan.folds.items()},
        patients={case: facts[case].patient for case in plan.folds},
        images={},
    )
    if left_out := len(facts) - len(folds.cases):
        get_run_logger().warning("%s cases of the dataset are not named in %s and are left out", left_out, file.name)
    return queries.record_split(
        session,
        dataset_id=dataset_id,
        split_hash=own_hash(plan),
        seed=0,
        validation=len(plan.validation) / len(folds.cases),
        folds=len(folds.held_out) if plan.folds else None,
        plan=plan,
        case_ids={case.name: case.id for case in cases},
        flow_run_id=flow_run_id(),
    )


def _grown(
    session: Session, dataset_id: int, cases: Sequence[Case], facts: Mapping[str, StratumFacts], wanted: Wanted
) -> Split:
    """The split `keep` with the cases that came later; itself where there are none, and none of its own has gone."""
    kept = queries.find_split(session, dataset_id, wanted.keep)
    old = queries.plan_of(session, kept)
    if facts.keys() == old.strata.keys():
        get_run_logger().info("split %s has all %s cases of the dataset already", kept.id, len(facts))
        return kept
    if gone := sorted(old.strata.keys() - facts.keys()):
        get_run_logger().warning("left out, for they have no reference any more: %s", listed(gone))
    plan = grow_split(old, facts, validation=wanted.validation, seed=wanted.seed)
    return queries.record_split(
        session,
        dataset_id=dataset_id,
        split_hash=own_hash(plan),
        seed=wanted.seed,
        validation=wanted.validation,
        folds=kept.folds,
        plan=plan,
        case_ids={case.name: case.id for case in cases},
        flow_run_id=flow_run_id(),
        kept_id=kept.id,
    )


def _cases_with_reference(session: Session, dataset_id: int) -> list[Case]:
    return [c for c in ingest_queries.cases_of(session, dataset_id, CaseStatus.INGESTED) if c.has_segmentation]


def _tell_images_apart(dataset: str | None) -> None:
    """Read the voxels of images that might be the same one: of the same size, spacing and extremes."""
    with reading() as session:
        cases = _cases_with_reference(session, ingest_queries.find_dataset(session, dataset).id)
    alike: dict[tuple[Any, ...], list[tuple[str, CaseFile]]] = defaultdict(list)
    for case in cases:
        if file := case.file(FileKind.IMAGE):
            alike[_size(file)].append((case.name, file))
    unread = [one for files in alike.values() if len(files) > 1 for one in files if one[1].voxels_sha256 is None]
    if unread:
        read = {file.id: _voxels(name, current_settings().absolute(file.path)) for name, file in unread}
        with catalog() as session:
            for file_id, sha256 in read.items():
                session.get_one(CaseFile, file_id).voxels_sha256 = sha256


def _voxels(case: str, path: Path) -> str:
    """The hash of an image's voxels and grid. Raises `KitsError` where the file is gone."""
    from kits_core.geometry import read_volume, voxels_sha256  # noqa: PLC0415 - a second, needed rarely

    if not path.is_file():
        raise KitsError(
            f"{case}: expected {path}, to tell this image from another one of its size, got no file; run kits ingest"
        )
    return voxels_sha256(read_volume(path))


def _size(file: CaseFile) -> tuple[Any, ...]:
    """Size, spacing and extremes of an image; the same for any order of its axes."""
    percentiles = file.hu_percentiles or {}
    axes = sorted(zip(file.shape, (round(mm, 3) for mm in file.spacing_mm), strict=True))
    return (*axes, percentiles.get("p0"), percentiles.get("p100"))


def _image(file: CaseFile) -> str:
    """The identity of an image: the hash of its voxels, which were read wherever another is similar, or of its file."""
    return file.voxels_sha256 or file.sha256


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
        images={member.case.name: _image(file) for member in members if (file := member.case.file(FileKind.IMAGE))},
    )


def _refuse_twins(cases: list[Case]) -> None:
    """Two cases with one image would put the same patient on both sides."""
    hashes = {case.name: _image(file) for case in cases if (file := case.file(FileKind.IMAGE))}
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
