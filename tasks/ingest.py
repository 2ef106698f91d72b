"""A source's cases, one by one, into the home and the catalog."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task

from db.models import Case, CaseStatus, FileKind
from db.queries import ingest as queries
from db.settings import Settings
from kits_core.files import sha256_of, write_text_atomically
from kits_core.source.clinical import read_clinical
from kits_core.source.convert import ConvertedImage, ConvertedSegmentation, convert_image, convert_segmentation
from kits_core.source.layout import IMAGE_NAME, RECORDS_NAME, SEGMENTATION_NAME, CaseLocations, Location, open_source
from kits_core.source.selection import choose
from kits_core.source.transfer import Fetched, TransferError, fetch
from kits_core.source.verify import check_pair
from tasks.catalog import catalog, flow_run_id
from tasks.policy import CATALOG, COMPUTE, DOWNLOAD

STAGE = "ingest"
_ARCHIVES = {FileKind.IMAGE: IMAGE_NAME, FileKind.SEGMENTATION: SEGMENTATION_NAME}


@dataclass(frozen=True)
class CaseToIngest:
    """A case that is not in the home yet, or no longer."""

    dataset: str
    case_id: int
    name: str
    locations: CaseLocations


@dataclass(frozen=True)
class Listing:
    """What a source has, and which of it must be brought in."""

    dataset_id: int
    dataset: str
    source: str
    chosen: int
    missing: list[CaseToIngest]


@task(name="list-source", task_run_name="list {source}", **CATALOG)
def list_source(source: str, dataset: str | None, cases: str | None) -> Listing:
    """Ask the source for its cases, note them in the catalog, and find those that are not ingested yet."""
    opened = open_source(source)
    names = choose(opened.cases(), cases)
    with catalog() as session:
        row = queries.ensure_dataset(
            session, name=dataset or opened.name, source=opened.address, revision=None, flow_run_id=flow_run_id()
        )
        known = {case.name: case for case in queries.cases_of(session, row.id)}
        missing = []
        for name in names:
            case = known.get(name) or queries.ensure_case(
                session, row, name, phase=opened.phase(name), flow_run_id=flow_run_id()
            )
            locations = opened.locate(name)
            if name not in known or not is_whole(case, locations):
                missing.append(CaseToIngest(row.name, case.id, name, locations))
        return Listing(row.id, row.name, opened.address, len(names), missing)


@task(name="fetch-case", task_run_name="{case.name} · fetch", **DOWNLOAD)
def fetch_case(case: CaseToIngest) -> None:
    """Bring the archives of a case to the home's incoming folder; one that is there already stays."""
    folder = incoming_folder(case)
    with noting_problems(case):
        _fetch(case.locations.image, folder / IMAGE_NAME)
        if case.locations.segmentation is not None:
            try:
                _fetch(case.locations.segmentation, folder / SEGMENTATION_NAME)
            except TransferError as error:
                if not (case.locations.segmentation.may_be_missing and error.status == 404):
                    raise


@task(name="convert-case", task_run_name="{case.name} · convert", **COMPUTE)
def convert_case(case: CaseToIngest) -> None:
    """Verify and convert the archives of a case, write its rows, and only then let the archives go."""
    settings, incoming = Settings(), incoming_folder(case)
    raw = settings.raw / case.dataset / case.name
    with noting_problems(case):
        image = convert_image(incoming / IMAGE_NAME, raw / "imaging.nii", case=case.name)
        segmentation = None
        if (incoming / SEGMENTATION_NAME).is_file():
            segmentation = convert_segmentation(incoming / SEGMENTATION_NAME, raw / "segmentation.nii", case=case.name)
            check_pair(case.name, image.facts, segmentation.facts)
        with catalog() as session:
            row = session.get_one(Case, case.case_id)
            facts = _file_facts(settings, incoming / IMAGE_NAME, image)
            queries.record_file(session, row, FileKind.IMAGE, facts | {"hu_percentiles": dict(image.hu_percentiles)})
            if segmentation is not None:
                facts = _file_facts(settings, incoming / SEGMENTATION_NAME, segmentation)
                queries.record_file(session, row, FileKind.SEGMENTATION, facts)
                volumes = {int(v.label): (v.voxels, v.ml) for v in segmentation.volumes}
                queries.record_label_volumes(session, row, volumes)
            row.status, row.has_segmentation = CaseStatus.INGESTED, segmentation is not None
            queries.resolve_problems(session, row.id, STAGE)
    shutil.rmtree(incoming)


@task(name="ingest-clinical-records", **DOWNLOAD)
def ingest_clinical_records(source: str, dataset: str) -> int:
    """Fetch the clinical records of a source and write those of the cases in the catalog; how many that were."""
    location = open_source(source).clinical()
    if location is None:
        return 0
    target = Settings().incoming / dataset / RECORDS_NAME
    fetched = fetch(location, target)
    with catalog() as session:
        row = queries.find_dataset(session, dataset)
        return queries.record_clinical(session, row, read_clinical(target), fetched.sha256)


@contextmanager
def noting_problems(case: CaseToIngest) -> Iterator[None]:
    """Puts a case into quarantine, with the reason in the catalog, when the block fails."""
    try:
        yield
    except Exception as error:
        get_run_logger().warning("%s is put into quarantine: %s", case.name, error)
        with catalog() as session:
            queries.record_problem(session, case.case_id, STAGE, str(error), flow_run_id())
            session.get_one(Case, case.case_id).status = CaseStatus.QUARANTINED
        raise


def is_whole(case: Case, locations: CaseLocations) -> bool:
    """Whether a case's files lie in the home as the catalog says and came from what the source has now."""
    stated = {FileKind.IMAGE: locations.image, FileKind.SEGMENTATION: locations.segmentation}
    for kind, location in stated.items():
        file = case.file(kind)
        if file is None:
            if location is not None and not location.may_be_missing:
                return False
            continue
        path = Settings().absolute(file.path)
        if not path.is_file() or path.stat().st_size != file.bytes:
            return False
        if location is not None and location.sha256 not in (None, file.archive_sha256):
            return False
    return case.status is CaseStatus.INGESTED


def incoming_folder(case: CaseToIngest) -> Path:
    """Where a case's archives lie until they are converted."""
    return Settings().incoming / case.dataset / case.name


def _fetch(location: Location, target: Path) -> None:
    """Fetch one archive and write its facts beside it; one that is whole already is not asked for again."""
    note = _note(target)
    if target.is_file() and not note.is_file() and location.sha256 == sha256_of(target):
        # Killed between the archive's rename and its note.
        facts = Fetched(target.stat().st_size, location.sha256, None, None, location.address)
    elif target.is_file() and note.is_file():
        return
    else:
        start = time.perf_counter()
        facts = fetch(location, target)
        get_run_logger().info("%s: %.1f MB in %.1f s", target.name, facts.bytes / 1e6, time.perf_counter() - start)
    write_text_atomically(note, json.dumps(asdict(facts)))


def _note(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.json")


def _file_facts(settings: Settings, archive: Path, converted: ConvertedImage | ConvertedSegmentation) -> dict[str, Any]:
    fetched = Fetched(**json.loads(_note(archive).read_text(encoding="utf-8")))
    facts = converted.facts
    return {
        "path": settings.relative(converted.path),
        "source_url": fetched.url,
        "bytes": converted.bytes,
        "sha256": converted.sha256,
        "archive_bytes": fetched.bytes,
        "archive_sha256": fetched.sha256,
        "etag": fetched.etag,
        "last_modified": fetched.last_modified,
        "dtype": facts.dtype,
        "shape": list(facts.shape),
        "spacing_mm": list(facts.spacing_mm),
        "affine": [list(row) for row in facts.affine],
        "orientation": facts.orientation,
        "flow_run_id": flow_run_id(),
    }
