"""What a source has, and which of it is new, changed or gone: at most one request a file, before any is fetched."""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from prefect import get_run_logger, task

from db.models import Case, CaseFile, CaseStatus, FileKind
from db.models.base import now
from db.queries import ingest as queries
from db.settings import current_settings
from kits_core.disk import free_bytes
from kits_core.errors import CaseError
from kits_core.label_map import LabelMap
from kits_core.labels import Label
from kits_core.source.address import check_dataset_name
from kits_core.source.budget import Budget, FileCost, add_up
from kits_core.source.location import CaseLocations, Location, Source
from kits_core.source.selection import choose
from kits_core.source.transfer import Known, Probe, TransferError
from kits_core.source.verify import AT_SOURCE
from tasks.catalog import catalog, flow_run_id
from tasks.corrected import Corrections, corrections_of
from tasks.forgotten import without_forgotten
from tasks.hidden_source import HiddenSource
from tasks.names import hide_path, reveal, scrubbed_errors
from tasks.policy import CATALOG
from tasks.progress import report_progress
from tasks.source import SourceRequest

STAGE = "ingest"
_GONE = (404, 410)
_FILES_UNDER_WAY = 4
"""Archives on disk by connection: two cases, each with two files, for every one that is downloaded (`flows.ingest`)."""
_BYTES_PER_VOXEL = {FileKind.IMAGE: 2, FileKind.SEGMENTATION: 1}


@dataclass(frozen=True)
class CaseToIngest:
    """A case with files to bring in: `files` are those, the others of the case stay as they are.

    `listed_at`: when the source was asked; files of the case in the catalog that are newer were brought by someone
    else since. `values`: what those of its segmentation mean; None where they are KiTS's. `corrected`: whether its
    segmentation is one that a person corrected.
    """

    dataset: str
    case_id: int
    name: str
    listed_at: datetime
    files: Mapping[FileKind, Location] = field(default_factory=dict)
    deidentify: bool = False
    values: Mapping[int, Label] | None = None
    corrected: bool = False

    @property
    def to_mend(self) -> str:
        """What to do about a segmentation that does not lie on its image."""
        return "it was corrected on another scan; kits correct --undo takes that away" if self.corrected else AT_SOURCE


@dataclass(frozen=True)
class Listing:
    """What a source has, and what must be brought in of it at which cost.

    `refused`: cases without an image, with the reason; `vanished`: cases that the source has files of no longer;
    `clinical`: where the records are; `notes`: what of the source is not used, and why.
    """

    dataset_id: int
    dataset: str
    source: str
    chosen: int
    missing: list[CaseToIngest]
    refused: list[tuple[str, str]]
    vanished: list[str]
    clinical: Location | None
    budget: Budget
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _File:
    """A file of the source, and what the catalog knows of it. `kept`: the newest version lies in the home, whole."""

    case: str
    kind: FileKind
    location: Location
    row_id: int | None
    known: Known | None
    archive_sha256: str | None
    kept: bool

    @property
    def settled(self) -> bool:
        """The source states the hash that is here: nothing to ask."""
        return self.kept and self.location.sha256 is not None and self.location.sha256 == self.archive_sha256


@dataclass(frozen=True)
class _Answer:
    """What the source said of a file. `cost`: of bringing it in; None where it stays. `gone`: there is none."""

    cost: FileCost | None = None
    gone: bool = False


@task(name="list-source", task_run_name="list {asked.shown}", **CATALOG)
def list_source(
    asked: SourceRequest, dataset: str | None, cases: str | None, *, keep_archives: bool, replace_source: bool = False
) -> Listing:
    """Ask the source for its cases, note them in the catalog, and find what is new, changed, lost or gone.

    Raises `KitsError` where the dataset has cases from another source, unless `replace_source` says that it moved.
    """
    with scrubbed_errors(asked.source, when=asked.deidentify):
        opened, names = _open(asked, dataset, reveal(cases) if cases else None)
    name = check_dataset_name(dataset or opened.name)
    listed_at = now()
    notes = list(opened.notes)
    with catalog() as session:
        row = queries.ensure_dataset(
            session,
            name=name,
            source=opened.address,
            revision=opened.revision,
            layout=opened.layout,
            label_values=_as_stored(opened.values, asked.reading.labels),
            replace=replace_source,
            flow_run_id=flow_run_id(),
        )
        names, forgotten = without_forgotten(session, row.id, names)
        if forgotten:
            notes.append(f"{forgotten} cases were forgotten (kits forget) and stay out")
        known = {case.name: case for case in queries.cases_of(session, row.id)}
        for case_name in names:
            if case_name not in known:
                known[case_name] = queries.ensure_case(
                    session, row, case_name, phase=opened.phase(case_name), flow_run_id=flow_run_id()
                )
        known = {case.name: case for case in queries.cases_of(session, row.id)}
        dataset_id = row.id
    located, refused = _locate(opened, names, known)
    corrections = corrections_of(name, known)
    notes += corrections.remarks(located, known)
    located = corrections.over(located)
    with catalog() as session:
        queries.record_patients(session, {known[one.case].id: one.patient for one in located if one.patient})
    files = [file for one in located for file in _files(one, known[one.case], corrections)]
    answers = dict(zip(files, _ask_all(asked, files), strict=True))
    missing = [
        CaseToIngest(
            name, known[case].id, case, listed_at, wanted, asked.deidentify,
            None if case in corrections.overlays else opened.values, case in corrections.overlays,
        )
        for case, wanted in _missing(answers).items()
    ]  # fmt: skip
    asked_of = known.keys() - corrections.of_plans if cases is None else ()
    looked_at = [case for case in known.values() if case.name in names or case.name in asked_of]
    vanished = _settle(looked_at, answers, {case.name for case in missing} | {case_name for case_name, _ in refused})
    settings = current_settings()
    settings.open_home()
    budget = add_up(
        (answer.cost for answer in answers.values() if answer.cost is not None),
        free_bytes=free_bytes(settings.home),
        under_way=_FILES_UNDER_WAY * asked.connections,
        keep_archives=keep_archives,
    )
    for note in notes:
        get_run_logger().warning("%s: %s", opened.name, note)
    return Listing(
        dataset_id,
        name,
        opened.address,
        len(names),
        missing,
        refused,
        vanished,
        opened.clinical(),
        budget,
        tuple(notes),
    )


def _open(asked: SourceRequest, dataset: str | None, cases: str | None) -> tuple[Source, tuple[str, ...]]:
    """The source and the chosen cases, both under pseudonyms where nobody is to be named."""
    if not asked.deidentify:
        opened = asked.open()
        return opened, choose(opened.cases(), cases)
    if "://" not in asked.place:
        hide_path(asked.place)
    hidden = HiddenSource(asked.open(), dataset)
    return hidden, hidden.choose(cases)


def _as_stored(values: Mapping[int, Label] | None, said: LabelMap) -> dict[str, str] | None:
    """What values mean, or what was said of names; None where the usual counts."""
    meanings = [(str(value), label) for value, label in sorted(values.items())] if values else said.entries
    return {name: label.name.lower() for name, label in meanings} or None


def _locate(
    opened: Source, names: Iterable[str], known: Mapping[str, Case]
) -> tuple[list[CaseLocations], list[tuple[str, str]]]:
    located, refused = [], []
    for name in names:
        try:
            located.append(opened.locate(name))
        except CaseError as error:
            refused.append((name, str(error)))
            if known[name].file(FileKind.IMAGE) is None:  # else it vanished, which is no fault of the case's
                quarantine(known[name].id, str(error))
    return located, [(name, error) for name, error in refused if known[name].file(FileKind.IMAGE) is None]


def quarantine(case_id: int, reason: str) -> None:
    """Note in the catalog that a case cannot come in, and why."""
    with catalog() as session:
        queries.record_problem(session, case_id, STAGE, reason, flow_run_id())
        session.get_one(Case, case_id).status = CaseStatus.QUARANTINED


def _files(locations: CaseLocations, case: Case, corrections: Corrections) -> list[_File]:
    stated = {FileKind.IMAGE: locations.image, FileKind.SEGMENTATION: locations.segmentation}
    drawn = corrections.masks.get(case.name, set())
    return [
        _file(locations.case, kind, location, case, drawn) for kind, location in stated.items() if location is not None
    ]


def _file(case_name: str, kind: FileKind, location: Location, case: Case, drawn: set[str]) -> _File:
    """`drawn`: SHA-256 of corrected masks, of which a source knows nothing: it is asked as if nothing were known."""
    row = case.file(kind)
    if row is None:
        return _File(case_name, kind, location, None, None, None, kept=False)
    is_drawn = row.archive_sha256 in drawn and location.sha256 != row.archive_sha256
    known = None if is_drawn else Known(row.etag, row.last_modified, row.archive_bytes)
    return _File(case_name, kind, location, row.id, known, row.archive_sha256, kept=_lies_there(row))


def _lies_there(row: CaseFile) -> bool:
    path = current_settings().absolute(row.path)
    return path.is_file() and path.stat().st_size == row.bytes


def _ask_all(asked: SourceRequest, files: list[_File]) -> list[_Answer]:
    report_progress("list", 0, len(files))
    with ThreadPoolExecutor(asked.connections) as pool:
        answers = []
        for file, answer in zip(files, pool.map(lambda file: _ask(asked, file), files), strict=True):
            answers.append(answer)
            report_progress("list", len(answers), len(files), file.case)
    return answers


def _ask(asked: SourceRequest, file: _File) -> _Answer:
    if file.settled:
        return _Answer()
    try:
        probe = asked.probe(file.location, file.known if file.kept else None)
    except TransferError as error:
        if error.status in _GONE:
            return _Answer(gone=True)
        # A source that cannot say now is no reason to fetch what is here; what is not here is asked for again anyway.
        return _Answer() if file.kept else _Answer(FileCost(file.case, None, None))
    return _Answer(_cost(file, probe)) if probe.changed else _Answer()


def _cost(file: _File, probe: Probe) -> FileCost:
    converted = None if probe.voxels is None else probe.voxels * _BYTES_PER_VOXEL[file.kind]
    return FileCost(file.case, probe.bytes, converted)


def _missing(answers: Mapping[_File, _Answer]) -> dict[str, dict[FileKind, Location]]:
    """What is to be fetched, by case. An image that was never there is asked for, so that its absence is told."""
    wanted: dict[str, dict[FileKind, Location]] = {}
    for file, answer in answers.items():
        never_there = answer.gone and file.row_id is None and file.kind is FileKind.IMAGE
        if answer.cost is not None or never_there:
            wanted.setdefault(file.case, {})[file.kind] = file.location
    return dict(sorted(wanted.items()))


def _settle(looked_at: list[Case], answers: Mapping[_File, _Answer], unsettled: set[str]) -> list[str]:
    """Note what the source has and has not; names of the cases with vanished files.

    A case in quarantine whose files are all here as the source has them is whole again.
    """
    present = {file.row_id for file, answer in answers.items() if file.row_id is not None and not answer.gone}
    newest = {file.id: case.name for case in looked_at for file in case.files if file.superseded_at is None}
    vanished = newest.keys() - present
    with catalog() as session:
        queries.mark_presence(session, present, vanished)
        for case in looked_at:
            here = case.file(FileKind.IMAGE) is not None and case.name not in unsettled
            if here and case.status is CaseStatus.QUARANTINED:
                session.get_one(Case, case.id).status = CaseStatus.INGESTED
                queries.resolve_problems(session, case.id, STAGE)
    return sorted({newest[row] for row in vanished})
