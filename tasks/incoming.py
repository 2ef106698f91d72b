"""Where a case's files are during an ingestion: archives with their notes, and files not verified yet."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from db.models import FileKind
from db.settings import current_settings
from kits_core.case_names import folder_name
from kits_core.source.download import guard_file
from kits_core.source.sums import IMAGE_NAME, SEGMENTATION_NAME
from kits_core.source.transfer import Fetched

if TYPE_CHECKING:
    from tasks.listing import CaseToIngest  # which imports Prefect: a second, which `kits tidy` need not wait for

ARCHIVES = {FileKind.IMAGE: IMAGE_NAME, FileKind.SEGMENTATION: SEGMENTATION_NAME}
STAGING = ".staging"


def incoming_folder(case: "CaseToIngest") -> Path:
    """Where a case's archives lie until they are converted."""
    return current_settings().incoming / case.dataset / folder_name(case.name)


def raw_folder(case: "CaseToIngest") -> Path:
    """Where a case's converted files lie."""
    return current_settings().raw / case.dataset / folder_name(case.name)


@contextmanager
def staging_folder(case: "CaseToIngest") -> Iterator[Path]:
    """A folder beside the case's files for unverified files. It is removed after the block.

    What killed processes left there is removed.
    """
    raw = raw_folder(case)
    with ExitStack() as stack:
        folder = None
        while folder is None:
            raw.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError), locked(raw, wait=True):  # another one may remove it, empty, before
                for stale in abandoned(raw):
                    shutil.rmtree(stale, ignore_errors=True)
                folder = Path(tempfile.mkdtemp(prefix=f"{STAGING}-", dir=raw))
                stack.enter_context(locked(folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                raw.rmdir()  # which an empty folder alone allows


def abandoned(raw: Path) -> list[Path]:
    """The staging folders in a case's folder whose process was killed, which released its lock.

    Hold the lock of `raw` during this call, so that no new one is made.
    """
    return [folder for folder in sorted(raw.glob(f"{STAGING}-*")) if not is_held(folder)]


def is_held(folder: Path) -> bool:
    """Whether another process, or another part of this one, holds the lock of a folder."""
    try:
        with locked(folder):
            return False
    except BlockingIOError:
        return True


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a folder for the block. Raises `BlockingIOError` if another holds it, unless told to wait."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def facts_file(archive: Path) -> Path:
    """Where the note lies of what was fetched."""
    return archive.with_name(f"{archive.name}.json")


def read_facts(archive: Path) -> Fetched:
    """What was noted of an archive when it was fetched. Raises `OSError` or `ValueError` without a whole note."""
    facts = json.loads(facts_file(archive).read_text(encoding="utf-8"))
    return Fetched(**{**facts, "notes": tuple(facts.get("notes", ()))})


def known_facts(archive: Path) -> Fetched | None:
    """What was noted of an archive; None without a whole note."""
    try:
        return read_facts(archive)
    except (OSError, ValueError, TypeError):  # there is none, or a kill left it half written
        return None


def write_facts(archive: Path, facts: Fetched) -> None:
    """Not atomically: a half-written note counts as none, and this leaves no temporary file."""
    facts_file(archive).write_text(json.dumps(asdict(facts)), encoding="utf-8")


def forget_archive(archive: Path) -> None:
    """Remove an archive and all notes of it."""
    for file in (archive, facts_file(archive), guard_file(archive)):
        file.unlink(missing_ok=True)
