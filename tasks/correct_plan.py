"""A plan whose mask a person corrected becomes a case, and the plan is made again from the corrected mask."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from prefect import task
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Case, CaseFile, Dataset, FileKind
from db.models.base import now
from db.queries import ingest as queries
from kits_core.corrections import DrawnScan
from kits_core.errors import CaseError
from kits_core.files import sha256_of
from kits_core.plan.from_mask import PlanOrigin, plan_mask
from kits_core.plan.record import PlanRecord, is_plan, read_plan, same_scan
from kits_core.pseudonyms import is_pseudonym
from kits_core.scan.find import Scan
from kits_core.scan.identity import identity_of
from kits_core.scan.read import read_scan
from kits_core.source.address import check_dataset_name
from kits_core.source.local_dicom import dicom_sha256
from kits_core.source.location import DicomFiles, Location
from kits_core.structures import read_mask
from tasks.catalog import catalog, flow_run_id
from tasks.correct import Correction, Taken, put_overlay, target_of, to_ingest
from tasks.forgotten import without_forgotten
from tasks.hidden_source import hidden_patient
from tasks.log import scrub
from tasks.names import find_hidden_scans, hidden_identity, hide_path, pseudonyms, scrubbed_errors
from tasks.policy import COMPUTE

DATASET = "corrections"
"""The dataset in which a plan's scan becomes a case, by default."""
SOURCE = "kits correct"
"""The source that the catalog names for a dataset made of plans."""
_CORRECTED = "corrected"


@dataclass(frozen=True)
class PlanToMake:
    """The plan of a corrected mask. `scan`: named as the plan's folder in `out`. `source`: as it may be shown."""

    scan: Scan
    source: str
    asked: Correction
    out: Path
    hidden: bool
    is_there: bool

    @property
    def folder(self) -> Path:
        """Where the plan goes."""
        return self.out / self.scan.name


@task(name="take-plan", task_run_name="{asked.shown} · correct", **COMPUTE)
def take_plan(asked: Correction) -> tuple[Taken, PlanToMake]:
    """Read the mask on the grid of a plan's scan, and make a case of both.

    The case gets the plan's name, or is the case of the dataset that already has this scan. Raises `CaseError` for a
    plan whose scan is gone or has changed, a case that has another scan, one that was forgotten, and as `read_mask`.
    """
    record = read_plan(Path(asked.what).expanduser().absolute())
    hidden = is_pseudonym(record.source)
    if hidden:
        hide_path(asked.file)
    with scrubbed_errors(record.name, when=hidden):
        scan = _hidden_scan(record) if hidden else _plain_scan(record)
        grid = read_scan(scan).volume
        labelled = read_mask(asked.file, scan, grid, asked.labels)
    image, archive = _image_of(scan)
    with catalog() as session:
        dataset, name = check_dataset_name(asked.dataset or DATASET), record.source if hidden else record.name
        case = _case_of(session, dataset, name, archive, hidden=hidden)
        if patient := identity_of(scan).patient_id:
            queries.record_patients(session, {case.id: hidden_patient(patient) if hidden else patient})
        target = target_of(case)
    plan = _plan_to_make(record, scan, asked, hidden=hidden)
    drawn = DrawnScan(record.source, record.series_uid, record.sha256)
    brings = put_overlay(
        target, asked, labelled, grid, after=record.segmented_by, scan=drawn, plan=plan.folder
    )  # fmt: skip
    has_image = target.image is not None and target.image.is_file()
    bring = to_ingest(target, None if has_image else image) if brings or not has_image else None
    return Taken(target.dataset, target.name, bring), plan


@task(name="plan-correction", task_run_name="{plan.scan.name} · plan", **COMPUTE)
def plan_correction(plan: PlanToMake) -> Path:
    """Make the plan again from the corrected mask, beside the old one; its folder."""
    asked, origin = plan.asked, None
    if plan.hidden:
        origin = PlanOrigin(plan.source, hide_path(asked.file), hidden_identity(plan.scan), scrub)
    with scrubbed_errors(plan.scan.name, when=plan.hidden):
        created = now().strftime("%Y-%m-%d %H:%M UTC")
        plan_mask(plan.scan, asked.file, plan.out, asked.labels, created=created, origin=origin)
    return plan.folder


def _plain_scan(record: PlanRecord) -> Scan:
    return same_scan(record.name, Path(record.source), record.series_uid, record.sha256)


def _hidden_scan(record: PlanRecord) -> Scan:
    """The scan that a pseudonym stands for. From now on its names are scrubbed from texts."""
    original = pseudonyms().original(record.source)
    if original is None:
        raise CaseError(
            record.name,
            expected="a pseudonym of this home as its plan's scan",
            got=record.source,
            next_step="correct it in the home that made the plan, while pseudonyms/ still has its entry",
        )
    place, series = Path(original.facts["source"]), original.facts.get("series UID") or None
    find_hidden_scans([place], series)
    return same_scan(record.name, place, series, record.sha256)


def _image_of(scan: Scan) -> tuple[Location, str]:
    """The scan as a file to bring in, as layouts have it, and the SHA-256 by which the catalog will know it."""
    if scan.kind != "dicom":
        return Location(str(scan.path.absolute())), sha256_of(scan.path)
    files = DicomFiles(tuple(str(file.absolute()) for file in scan.files), scan.series_uid or "")
    return Location(str(scan.files[0].absolute().parent), form="dicom", dicom=files), dicom_sha256(files)


def _case_of(session: Session, dataset: str, name: str, archive: str, *, hidden: bool) -> Case:
    """The case of the dataset that has this scan, or a new one of the plan's name."""
    row = session.scalar(select(Dataset).where(Dataset.name == dataset))
    if row is None:
        row = queries.ensure_dataset(
            session, name=dataset, source=SOURCE, revision=None, layout=DATASET, flow_run_id=flow_run_id()
        )
    images = select(CaseFile).join(Case).where(Case.dataset_id == row.id, CaseFile.kind == FileKind.IMAGE)
    same = session.scalars(images.where(CaseFile.archive_sha256 == archive, CaseFile.superseded_at.is_(None)))
    for image in same:
        if is_pseudonym(image.case.name) == hidden:
            return image.case
    if without_forgotten(session, row.id, [name])[1]:
        raise CaseError(
            name,
            expected=f"a case that may come into {dataset}",
            got="one that was forgotten (kits forget)",
            next_step="it stays out; another --dataset would take it",
        )
    known = session.scalar(select(Case).where(Case.dataset_id == row.id, Case.name == name))
    if known is not None and known.file(FileKind.IMAGE) is not None:
        raise CaseError(
            name,
            expected=f"no case of this name with another scan in {dataset}",
            got="one",
            next_step="give the corrected scan another --dataset",
        )
    return known or queries.ensure_case(session, row, name, flow_run_id=flow_run_id())


def _plan_to_make(record: PlanRecord, scan: Scan, asked: Correction, *, hidden: bool) -> PlanToMake:
    """The first folder that is free, or that already has the plan of this mask."""
    out = asked.out.expanduser().absolute() if asked.out else record.folder.parent
    sha256 = sha256_of(asked.file)
    name = next(name for name in _names(record.name) if _is_free(out / name, sha256))
    return PlanToMake(replace(scan, name=name), record.source, asked, out, hidden, is_plan(out / name))


def _is_free(folder: Path, mask_sha256: str) -> bool:
    """Whether no plan is there, or the one of this mask."""
    return not is_plan(folder) or read_plan(folder).mask_sha256 == mask_sha256


def _names(name: str) -> Iterator[str]:
    yield f"{name}_{_CORRECTED}"
    yield from (f"{name}_{_CORRECTED}_{number}" for number in count(2))
