"""Makes a mask that a person corrected the reference of a case: read, checked, and kept as an overlay."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.filebasedimages import ImageFileError
from prefect import task
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Case, Dataset, FileKind, ScoredCase
from db.models.base import now
from db.queries import ingest as queries
from db.queries.evaluation import find_evaluation
from db.settings import current_settings
from kits_core.case_names import cleaned
from kits_core.corrections import DrawnScan, Note, Overlay
from kits_core.errors import CaseError, KitsError
from kits_core.files import sha256_of
from kits_core.geometry.volume import Volume, read_volume
from kits_core.inference.files import is_prediction, note_of
from kits_core.label_map import LabelMap
from kits_core.pseudonyms import is_pseudonym
from kits_core.scan.find import Scan
from kits_core.scan.header import looks_like_dicom
from kits_core.source.local_dicom import dicom_sha256
from kits_core.source.location import DicomFiles, Location
from kits_core.source.opening import open_source
from kits_core.source.selection import case_name
from kits_core.structures import Labelled, read_mask
from kits_core.text import one_line
from tasks.catalog import file_of, reading
from tasks.hidden_source import HiddenSource
from tasks.listing import CaseToIngest
from tasks.log import scrub
from tasks.names import hide_path, reveal, scrubbed_errors
from tasks.policy import COMPUTE

_MOST_DIGITS = 5


@dataclass(frozen=True)
class Correction:
    """What is asked: see `CorrectParameters`. `by`: who corrected the mask."""

    what: str
    mask: str
    by: str
    labels: LabelMap = field(default_factory=LabelMap)
    dataset: str | None = None
    out: Path | None = None

    @property
    def shown(self) -> str:
        """The case or the plan's folder, for a task's name."""
        return one_line(self.what)

    @property
    def file(self) -> Path:
        """The mask, absolute."""
        return Path(reveal(self.mask)).expanduser().absolute()


@dataclass(frozen=True)
class Taken:
    """A case whose reference is the mask. `bring`: the case with what the catalog lacks still; None without that."""

    dataset: str
    name: str
    bring: CaseToIngest | None


@dataclass(frozen=True)
class Target:
    """The case that a mask is to become the reference of, and what the catalog has of it.

    `image`, `reference`: converted files; None where there is none. `archive`: SHA-256 of what the reference came from.
    """

    dataset: str
    case_id: int
    name: str
    image: Path | None = None
    image_sha256: str | None = None
    reference: Path | None = None
    archive: str | None = None

    @property
    def hidden(self) -> bool:
        """Whether only a pseudonym of the case may be shown."""
        return is_pseudonym(self.name)

    @property
    def overlay(self) -> Overlay:
        """Where its corrected reference lies."""
        return Overlay(current_settings().corrections / self.dataset, self.name)


@task(name="take-correction", task_run_name="{asked.shown} · correct", **COMPUTE)
def take_correction(asked: Correction) -> Taken:
    """Read the mask on the grid of a case of the catalog, and keep it as the case's overlay.

    Raises `CaseError` for a case that is not in the catalog or whose image is not in the home, and as `read_mask`.
    """
    with reading() as session:
        case = find_case(session, asked.dataset, asked.what)
        target, dataset = target_of(case), case.dataset
        meanings: Mapping[str, str] = dataset.label_values or {}
        of_dicom = dataset.layout == "dicom"
        image = file_of(case, FileKind.IMAGE)
        archive = image.archive_sha256
        after = _corrected_from(session, case, asked.file)
    if target.image is None or not target.image.is_file():
        raise CaseError(
            target.name, expected="its image in the home", got="none", next_step="run kits ingest, then correct it"
        )
    grid = read_volume(target.image)
    if target.hidden:
        hide_path(asked.file)
    with scrubbed_errors(target.name, when=target.hidden):
        names = LabelMap.of({**meanings, **dict(asked.labels.entries)}) if of_dicom else asked.labels
        scan = Scan(target.name, target.image, "nifti", (target.image,))
        if of_dicom and _is_dicom(asked.file):
            scan = _series_of(target, archive)
        labelled = read_mask(asked.file, scan, grid, names)
        if not of_dicom and not asked.labels.entries:
            _refuse_two_meanings(target.name, asked.file, labelled, meanings)
    brings = put_overlay(target, asked, labelled, grid, after=after)
    return Taken(target.dataset, target.name, to_ingest(target) if brings else None)


def find_case(session: Session, dataset: str | None, text: str) -> Case:
    """The case of a name, or an id as 7 of `case_00007`. Raises `KitsError` where there is none, or several."""
    wanted = [cleaned(text)]
    if text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS:
        wanted.append(case_name(int(text)))
    query = select(Case).join(Dataset).where(Case.name.in_(wanted))
    if dataset is not None:
        query = query.where(Case.dataset_id == queries.find_dataset(session, dataset).id)
    found = list(session.scalars(query))
    if len(found) == 1:
        return found[0]
    if not found:
        where = f"a case of {dataset}" if dataset else "a case of the catalog"
        raise CaseError(
            text,
            expected=f"{where}, or a folder with the plan of a scan",
            got="neither",
            next_step='kits sql "SELECT dataset, case_name FROM case_overview" lists the cases',
        )
    named = ", ".join(f"{case.name} of {case.dataset.name}" for case in found)
    raise CaseError(text, expected="one case", got=f"{len(found)}: {named}", next_step="name its --dataset")


def target_of(case: Case) -> Target:
    """A case of the catalog as it is."""
    settings = current_settings()
    image, reference = case.file(FileKind.IMAGE), case.file(FileKind.SEGMENTATION)
    return Target(
        case.dataset.name,
        case.id,
        case.name,
        settings.absolute(image.path) if image else None,
        image.sha256 if image else None,
        settings.absolute(reference.path) if reference else None,
        reference.archive_sha256 if reference else None,
    )


def put_overlay(
    target: Target,
    asked: Correction,
    labelled: Labelled,
    grid: Volume,
    *,
    after: str | None,
    scan: DrawnScan | None = None,
    plan: Path | None = None,
) -> bool:
    """Keep the labels as the case's overlay, on `grid`. Returns whether the catalog must be updated.

    Labels equal to the present reference change nothing. For the other arguments see `Note`.
    """
    overlay, labels = target.overlay, labelled.volume.data
    if overlay.is_there() and _holds(overlay.mask, labels):
        return _lacks(target)
    is_own = not overlay.is_there() and target.archive not in overlay.hashes()  # no mask that was taken away
    if is_own and target.reference is not None and _holds(target.reference, labels):
        return False
    shown = scrub if target.hidden else str
    note = Note(
        by=asked.by,
        at=now().isoformat(timespec="seconds"),
        file=hide_path(asked.file) if target.hidden else str(asked.file),
        file_sha256=sha256_of(asked.file),
        after=after,
        image_sha256=target.image_sha256,
        scan=scan,
        plan=str(plan.absolute()) if plan else None,
        notes=tuple(map(shown, labelled.notes)),
        read_as={} if target.hidden else {name: label.name.lower() for name, label in labelled.meanings.items()},
    )
    overlay.write(Volume(labels, grid.affine), note)
    return _lacks(target)


def _lacks(target: Target) -> bool:
    """Whether the catalog has another reference than the overlay, or its file is gone."""
    is_known = target.archive == sha256_of(target.overlay.mask)
    return not is_known or target.reference is None or not target.reference.is_file()


def to_ingest(target: Target, image: Location | None = None) -> CaseToIngest:
    """The case with its overlay as the segmentation to bring in, and with its image where that is not here."""
    files = {FileKind.SEGMENTATION: target.overlay.location(), **({FileKind.IMAGE: image} if image else {})}
    return CaseToIngest(
        target.dataset, target.case_id, target.name, now(), files, deidentify=target.hidden, corrected=True
    )


def undo_correction(what: str, dataset: str | None) -> tuple[Target, Path]:
    """Take the overlay of a case away; the case, and where the mask is kept.

    Raises `CaseError` for a case without an overlay, and for a case without a reference from its source.
    """
    with reading() as session:
        case = find_case(session, dataset, what)
        target = target_of(case)
        archives = {file.archive_sha256 for file in case.files if file.kind is FileKind.SEGMENTATION}
    if not target.overlay.is_there():
        raise CaseError(target.name, expected="a corrected reference", got="none", next_step="there is nothing to undo")
    if not archives - target.overlay.hashes():
        raise CaseError(
            target.name,
            expected="a reference of its source's own to go back to",
            got="none: the corrected one is its first",
            next_step="correct it again, or remove the case with kits forget",
        )
    return target, target.overlay.set_aside()


def _holds(mask: Path, labels: Any) -> bool:
    """Whether a file has exactly these voxels. False for a file that is gone or cannot be read."""
    try:
        return np.array_equal(read_volume(mask).data, labels)
    except (OSError, ImageFileError, ValueError):
        return False


def _is_dicom(mask: Path) -> bool:
    return mask.is_file() and looks_like_dicom(mask)


def _series_of(target: Target, archive_sha256: str) -> Scan:
    """The DICOM series that a case came from, which a SEG or RTSTRUCT names. It must be unchanged since."""
    with reading() as session:
        dataset = session.get_one(Case, target.case_id).dataset
        name, place = dataset.name, reveal(dataset.source)
    try:
        opened = open_source(place, layout="dicom")
        source = HiddenSource(opened, name) if target.hidden else opened
        found = source.locate(target.name).image.dicom
    except KitsError as error:
        raise _no_series(target.name, getattr(error, "got", str(error))) from error
    if found is None or dicom_sha256(found) != archive_sha256:
        raise _no_series(target.name, "one that has changed since")
    return scan_of_files(target.name, found)


def scan_of_files(name: str, files: DicomFiles) -> Scan:
    """A series of a source as a scan to read."""
    paths = tuple(map(Path, files.files))
    return Scan(name, paths[0].parent, "dicom", paths, files.series)


def _no_series(case: str, got: str) -> CaseError:
    return CaseError(
        case,
        expected="the DICOM series that it came from, which a SEG or RTSTRUCT names, at its source",
        got=got,
        next_step="bring the series back, or export the segmentation as NIfTI or NRRD",
    )


def _refuse_two_meanings(case: str, mask: Path, labelled: Labelled, of_source: Mapping[str, str]) -> None:
    """Raise `CaseError` where a value of the mask has another meaning in the dataset's own files than in KiTS's."""
    meant = {value: label.name.lower() for value, label in labelled.meanings.items()}
    if other := [value for value in meant if value in of_source and of_source[value] != meant[value]]:
        both = ", ".join(f"{value} is {meant[value]} in KiTS, {of_source[value]} in the dataset" for value in other)
        raise CaseError(
            case,
            expected=f"to know what the values of {mask.name} mean",
            got=both,
            next_step=f'say it for each value, as --label "{other[0]}={meant[other[0]]}"',
        )


def _corrected_from(session: Session, case: Case, mask: Path) -> str | None:
    """The evaluation whose prediction the mask was, if its header still names it."""
    for scored in session.scalars(select(ScoredCase).where(ScoredCase.case_id == case.id)):
        evaluation = find_evaluation(session, scored.evaluation_id)
        models = [evaluation.model, *([evaluation.locator] if evaluation.locator else [])]
        if mask.is_file() and is_prediction(mask, note_of(scored.image_sha256, *(model.sha256 for model in models))):
            return f"evaluation {evaluation.id} of model {evaluation.model_id}"
    return None
