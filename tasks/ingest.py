"""A source's cases, one by one, into the home and the catalog."""

import hashlib
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task

from db.models import Case, CaseFile, CaseStatus, FileKind
from db.queries import ingest as queries
from db.settings import current_settings
from kits_core.case_names import folder_name
from kits_core.disk import check_room, naming_a_full_disk
from kits_core.errors import CaseError, KitsError, is_case_name, why
from kits_core.files import sha256_of, sync_folder, written_aside
from kits_core.scan.itk import is_itk, itk_to_nifti
from kits_core.source.clinical import Clinical, read_clinical
from kits_core.source.convert import ConvertedImage, ConvertedSegmentation, convert_image, convert_segmentation
from kits_core.source.deidentify import deidentified
from kits_core.source.growing import Growing, read_on_arrival
from kits_core.source.location import Location
from kits_core.source.nifti import NiftiFacts
from kits_core.source.sums import IMAGE_NAME, RECORDS_NAME
from kits_core.source.transfer import Fetched, Known, TransferError, redacted
from kits_core.source.turn import on_axes_of
from kits_core.source.verify import check_hounsfield, check_pair, check_shape
from tasks.catalog import catalog, flow_run_id, reading
from tasks.hidden_source import hidden_case, hidden_patient
from tasks.incoming import (
    ARCHIVES,
    facts_file,
    forget_archive,
    incoming_folder,
    known_facts,
    raw_folder,
    read_facts,
    staging_folder,
    write_facts,
)
from tasks.listing import STAGE, CaseToIngest, quarantine
from tasks.log import scrub
from tasks.names import scrubbed_errors
from tasks.policy import DOWNLOAD
from tasks.source import SourceRequest

Converted = ConvertedImage | ConvertedSegmentation
Brought = tuple[Fetched, Converted]
"""An archive and its converted file, both of the same download, even if the incoming folder has another one by now."""


@task(name="ingest-case", task_run_name="{case.name} · ingest", **DOWNLOAD)
def ingest_case(asked: SourceRequest, case: CaseToIngest, *, keep_archives: bool) -> tuple[str, ...]:
    """Fetch, verify and convert the files of a case, write its rows, and only then let the archives go.

    Each archive is converted while it arrives. One that is in the incoming folder already, unchanged, is not fetched.
    Returns remarks about the files, for people.
    """
    with noting_problems(case):
        check_room(current_settings().home, 0, f"the files of {case.name}")
        if _brought_by_another(case):
            return ()
        with staging_folder(case) as staging:
            arrived = _fetch_files(asked, case, staging)
            incoming = incoming_folder(case)
            archives = {kind: incoming / name for kind, name in ARCHIVES.items() if (incoming / name).is_file()}
            if not archives and _brought_by_another(case):
                return ()
            brought = {
                kind: _with_notes(*(arrived.get(kind) or (read_facts(archive), _convert(case, kind, archive, staging))))
                for kind, archive in archives.items()
            }
            with reading() as session:
                newest = {kind: row for kind in FileKind if (row := queries.newest_file(session, case.case_id, kind))}
            _on_the_scans_axes(case, brought, newest.get(FileKind.IMAGE))
            _check(case, {kind: file for kind, (_, file) in brought.items()}, newest)
            _put_in_place(case, archives, brought, newest, keep_archives=keep_archives)
    for archive in archives.values():
        forget_archive(archive)
    shutil.rmtree(_quarantine_folder(case), ignore_errors=True)
    with suppress(OSError):
        incoming.rmdir()  # this fails unless the folder is empty: another ingestion may be fetching into it
    notes = tuple(f"{kind}: {note}" for kind, (_, file) in sorted(brought.items()) for note in file.notes)
    for note in notes:
        get_run_logger().warning("%s: %s", case.name, note)
    return notes


@task(name="ingest-clinical-records", **DOWNLOAD)
def ingest_clinical_records(asked: SourceRequest, location: Location, dataset: str) -> list[str]:
    """Fetch the clinical records of a source and write those of cases in the catalog. Returns remarks and problems.

    A record that cannot be used is an open problem of its case, and the others are written. Raises `KitsError` for a
    file that holds no records.
    """
    target = current_settings().incoming / dataset / RECORDS_NAME
    with scrubbed_errors(dataset, when=asked.deidentify):
        if not _is_here(asked, location, target):
            _fetch(asked, location, target)
        try:
            clinical, sha256 = read_clinical(target), read_facts(target).sha256
        finally:
            if asked.deidentify:  # it may name the patient
                forget_archive(target)
    if asked.deidentify:
        clinical = _hidden_clinical(clinical, dataset)
    refused = {problem.case: str(problem) for problem in clinical.problems}
    with catalog() as session:
        row = queries.find_dataset(session, dataset)
        queries.record_clinical(session, row, clinical.records, sha256, refused=refused, flow_run_id=flow_run_id())
    met = [*clinical.notes, *refused.values()]
    for line in met:
        get_run_logger().warning("%s", line)
    return met


def _hidden_clinical(clinical: Clinical, dataset: str) -> Clinical:
    """The records under pseudonyms, without identifying values. Problems do not quote the values of a record."""
    records = [deidentified(one, hidden_case(dataset, one["case_id"]), hidden_patient) for one in clinical.records]
    problems = [
        CaseError(
            hidden_case(dataset, one.case) if is_case_name(one.case) else one.case,
            expected=_without_own_key(one.expected), got="another value", next_step=one.next_step,
        )
        for one in clinical.problems
    ]  # fmt: skip
    return Clinical(tuple(records), tuple(problems), tuple(note.partition(", as ")[0] for note in clinical.notes))


def _without_own_key(expected: str) -> str:
    """A key in quotes is no column but the hospital's own key, which may contain anything."""
    kind, _, key = expected.partition(" for ")
    return kind if key.startswith(("'", '"')) else expected


@contextmanager
def noting_problems(case: CaseToIngest) -> Iterator[None]:
    """Puts a case into quarantine, with the reason in the catalog, when the block fails.

    Archives whose content is refused are put aside, so that the next run fetches them anew.
    """
    try:
        with (
            scrubbed_errors(case.name, when=case.deidentify),
            naming_a_full_disk(current_settings().home, f"the converted files of {case.name}"),
        ):
            yield
    except Exception as error:
        if isinstance(error, CaseError):
            _put_aside(case)
        _note(case, error)
        raise


def _note(case: CaseToIngest, error: Exception) -> None:
    reason = why(case.name, error)
    get_run_logger().warning("%s is put into quarantine: %s", case.name, reason)
    quarantine(case.case_id, reason)


def _brought_by_another(case: CaseToIngest) -> bool:
    """Whether another ingestion has brought in all these files since the source was asked."""
    with reading() as session:
        found = [queries.newest_file(session, case.case_id, kind) for kind in case.files]
        return all(file is not None and file.created_at > case.listed_at for file in found)


def _fetch_files(asked: SourceRequest, case: CaseToIngest, staging: Path) -> dict[FileKind, Brought]:
    """Fetch the archives of a case that are not here yet. Returns those that were converted while they arrived."""
    arrived: dict[FileKind, Brought] = {}
    # The smaller file first: then a case is finished with its image, and need not wait for a connection again.
    for kind, location in sorted(case.files.items(), key=lambda item: item[0] is FileKind.IMAGE):
        archive = incoming_folder(case) / ARCHIVES[kind]
        if _is_here(asked, location, archive):
            continue
        if location.dicom is not None:
            from kits_core.source.local_dicom import fetch_dicom  # noqa: PLC0415 - a second, which others need not wait for

            _keep_facts(asked, fetch_dicom(location.dicom, archive, case=case.name), archive)
            continue
        if location.form != "nifti":  # converted once it is here
            _fetch(asked, location, archive)
            continue
        try:
            fetched, converted = read_on_arrival(
                archive, partial(_fetch, asked, location, archive), partial(_convert, case, kind, staging=staging)
            )
        except TransferError as error:
            if not (location.may_be_missing and error.status == 404):
                raise
        else:
            if converted is not None:
                arrived[kind] = fetched, converted
    return arrived


def _is_here(asked: SourceRequest, location: Location, target: Path) -> bool:
    """Whether a file lies in the incoming folder, whole, and as the source has it now."""
    facts = known_facts(target) if target.is_file() else None
    if facts is not None:
        known = Known(etag=facts.etag, last_modified=facts.last_modified, bytes=facts.bytes)
        return not asked.probe(location, known).changed
    if target.is_file() and location.sha256 == sha256_of(target):
        # Killed between the archive's rename and its note.
        place = redacted(location.address)
        url = asked.source if asked.deidentify else place
        write_facts(target, Fetched(target.stat().st_size, location.sha256, None, None, url, location.notes))
        return True
    return False


def _fetch(asked: SourceRequest, location: Location, target: Path, growing: Growing | None = None) -> Fetched:
    """Fetch one file and write its facts beside it."""
    start = time.perf_counter()
    fetched = asked.transfer().fetch(location, target, growing=growing, on_retry=_tell_retry)
    _check_sha512(location, target)
    fetched = _keep_facts(asked, replace(fetched, notes=(*fetched.notes, *location.notes)), target)
    seconds = time.perf_counter() - start
    get_run_logger().info("%s: %.1f MB in %.1f s", target.name, fetched.bytes / 1e6, seconds)
    return fetched


def _keep_facts(asked: SourceRequest, fetched: Fetched, target: Path) -> Fetched:
    """Write what is known of a file beside it, and return that."""
    if asked.deidentify:
        fetched = replace(fetched, url=asked.source, notes=tuple(map(scrub, fetched.notes)))
    write_facts(target, fetched)
    return fetched


def _check_sha512(location: Location, target: Path) -> None:
    """For a BagIt bag with only SHA-512. SHA-256 is compared while a file arrives."""
    if location.sha512 is None:
        return
    with target.open("rb") as file:
        found = hashlib.file_digest(file, "sha512").hexdigest()
    if found != location.sha512:
        target.unlink()
        reason = f"expected SHA-512 {location.sha512}, got {found}"
        raise TransferError(location.address, reason, retryable=False, wrong_bytes=True)


def _tell_retry(error: TransferError, wait_s: float) -> None:
    get_run_logger().warning("%s; next attempt in %.1f s", error, wait_s)


def _convert(case: CaseToIngest, kind: FileKind, archive: Path | Growing, staging: Path) -> Converted:
    target = staging / archive.name.removesuffix(".gz")
    if isinstance(archive, Path) and is_itk(archive):
        archive = itk_to_nifti(archive, staging / f"read-{target.name}", case=case.name)
    if kind is FileKind.IMAGE:
        return convert_image(archive, target, case=case.name)
    return convert_segmentation(archive, target, case=case.name, values=case.values)


def _with_notes(fetched: Fetched, converted: Converted) -> Brought:
    """An archive and its file, with the notes about both."""
    return fetched, replace(converted, notes=(*fetched.notes, *converted.notes))


def _on_the_scans_axes(case: CaseToIngest, brought: dict[FileKind, Brought], image: CaseFile | None) -> None:
    """Reorder the axes of a mask that lies on the scan's grid with other axes. `image`: the image known already."""
    if FileKind.SEGMENTATION not in brought:
        return
    fetched, mask = brought[FileKind.SEGMENTATION]
    facts = brought[FileKind.IMAGE][1].facts if FileKind.IMAGE in brought else None if image is None else _facts(image)
    if facts is not None and isinstance(mask, ConvertedSegmentation):
        brought[FileKind.SEGMENTATION] = fetched, on_axes_of(facts, mask, case=case.name)


def _check(case: CaseToIngest, converted: Mapping[FileKind, Converted], newest: Mapping[FileKind, CaseFile]) -> None:
    """Raise `CaseError` unless it is a scan of enough slices in HU, and both files, new or known, lie on one grid."""
    image = converted.get(FileKind.IMAGE)
    if isinstance(image, ConvertedImage):
        check_shape(case.name, image.facts.shape)
        check_hounsfield(case.name, image.hu_min, image.hu_percentiles)
    # A correction belongs to the image here, even if its source no longer has that image.
    facts = {kind: _facts(row) for kind, row in newest.items() if row.vanished_at is None or case.corrected}
    facts |= {kind: file.facts for kind, file in converted.items()}
    if FileKind.IMAGE not in facts:
        raise CaseError(
            case.name, expected=f"an {IMAGE_NAME}", got="a segmentation alone", next_step="add the scan at the source"
        )
    if FileKind.SEGMENTATION in facts:
        check_pair(case.name, facts[FileKind.IMAGE], facts[FileKind.SEGMENTATION], next_step=case.to_mend)


def _put_in_place(
    case: CaseToIngest,
    archives: Mapping[FileKind, Path],
    brought: Mapping[FileKind, Brought],
    newest: Mapping[FileKind, CaseFile],
    *,
    keep_archives: bool,
) -> None:
    """Move verified files to their final names, then write their rows, all in one transaction."""
    rows = {}
    folders = {
        kind: _version_folder(case, queries.version_of(newest.get(kind), fetched.sha256))
        for kind, (fetched, _) in brought.items()
    }
    if keep_archives:
        for kind, (fetched, _) in brought.items():
            _check_is_archive(case, folders[kind] / archives[kind].name, fetched.sha256)
    for kind, (fetched, file) in brought.items():
        folder = folders[kind]
        folder.mkdir(parents=True, exist_ok=True)
        if keep_archives:
            with written_aside(folder / archives[kind].name) as aside:
                shutil.copyfile(archives[kind], aside)
        rows[kind] = _row(file.path.replace(folder / file.path.name), fetched, file)
        sync_folder(folder)
    with catalog() as session:
        row = session.get_one(Case, case.case_id)
        for kind, (_, file) in brought.items():
            queries.record_file(session, row, kind, rows[kind])
            if isinstance(file, ConvertedSegmentation):
                row.has_segmentation = True
                volumes = {int(volume.label): (volume.voxels, volume.ml) for volume in file.volumes}
                queries.record_label_volumes(session, row, volumes)
        row.status = CaseStatus.INGESTED
        queries.resolve_problems(session, row.id, STAGE)


def _check_is_archive(case: CaseToIngest, kept: Path, sha256: str) -> None:
    """Raise `KitsError` if what lies where an archive is to be kept is another file."""
    if kept.is_symlink() or (kept.exists() and not (kept.is_file() and sha256_of(kept) == sha256)):
        raise KitsError(
            f"{case.name}: expected room for the archive at {kept}, got a file that is not it, which is never "
            "replaced; give it another name, then ingest again"
        )


def _row(path: Path, fetched: Fetched, converted: Converted) -> dict[str, Any]:
    facts = converted.facts
    row = {
        "path": current_settings().relative(path),
        "source_url": fetched.url,
        "bytes": converted.bytes,
        "sha256": converted.sha256,
        "archive_bytes": fetched.bytes,
        "archive_sha256": fetched.sha256,
        "etag": fetched.etag,
        "last_modified": fetched.last_modified,
        "dtype": facts.dtype,
        "source_dtype": converted.source_dtype,
        "shape": list(facts.shape),
        "spacing_mm": list(facts.spacing_mm),
        "affine": [list(row) for row in facts.affine],
        "orientation": facts.orientation,
        "notes": list(converted.notes),
        "flow_run_id": flow_run_id(),
    }
    if isinstance(converted, ConvertedImage):
        extremes = {"p0": converted.hu_min, "p100": converted.hu_max}
        row |= {"lossless": converted.lossless, "hu_percentiles": dict(converted.hu_percentiles) | extremes}
    return row


def _facts(row: CaseFile) -> NiftiFacts:
    """The columns of a converted file's row that describe its header."""
    shape, spacing = row.shape, row.spacing_mm
    return NiftiFacts(
        shape=(shape[0], shape[1], shape[2]),
        dtype=row.dtype,
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        affine=tuple(tuple(line) for line in row.affine),
        orientation=row.orientation,
        slope=1.0,
        intercept=0.0,
    )


def _put_aside(case: CaseToIngest) -> None:
    """Move a case's archives to the quarantine, in place of what lay there before."""
    incoming, aside = incoming_folder(case), _quarantine_folder(case)
    shutil.rmtree(aside, ignore_errors=True)
    if case.deidentify:  # their headers may name the patient
        for name in ARCHIVES.values():
            forget_archive(incoming / name)
        return
    aside.mkdir(parents=True)
    for name in ARCHIVES.values():
        facts_file(incoming / name).unlink(missing_ok=True)
        if (incoming / name).is_file():
            shutil.move(incoming / name, aside / name)


def _version_folder(case: CaseToIngest, version: int) -> Path:
    """Where a version of a case's file lies: the first in the case's folder, later ones below it."""
    return raw_folder(case) if version == 1 else raw_folder(case) / f"version_{version}"


def _quarantine_folder(case: CaseToIngest) -> Path:
    return current_settings().quarantine / case.dataset / folder_name(case.name)
