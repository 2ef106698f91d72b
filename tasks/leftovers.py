"""Files that killed processes left in the home and that nothing needs any more."""

import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import reading_session
from db.models import CaseFile, Model
from db.queries import ingest as queries
from db.settings import current_settings
from kits_core.case_names import case_of_folder, folder_name
from kits_core.files import is_aside
from kits_core.model_file import FOLDERS as IMPORTED
from kits_core.source.download import guard_file, partial_file
from tasks.incoming import ARCHIVES, STAGING, abandoned, facts_file, is_held, known_facts, locked

_ASIDE_S = 3600.0
"""A temporary file is finished within minutes. Its process may be on another machine that shares the home."""


@dataclass(frozen=True)
class Leftover:
    """A file or folder that nothing needs, its size, and what it is."""

    path: Path
    bytes: int
    what: str


def find_leftovers(dataset: str | None = None, *, remove: bool = False) -> list[Leftover]:
    """What nothing needs in the home, or in one dataset's folders; with `remove`, what was removed.

    Files that another process is using stay, and so does a download that was cut off: the next ingestion goes on with
    it. Files with names that kits does not use are ignored.
    """
    settings = current_settings()
    found = []
    with reading_session(settings) as session:
        for name, case in _case_folders(dataset):
            raw = settings.raw / name / folder_name(case)
            if remove:
                raw.mkdir(parents=True, exist_ok=True)
            with locked(raw, wait=True) if remove else nullcontext():
                of_case = list(_of_case(session, name, case))
                for leftover in of_case if remove else ():
                    _remove(leftover.path)
            found += of_case
            for folder in (raw, settings.incoming / name / folder_name(case)) if remove else ():
                with suppress(OSError):
                    folder.rmdir()  # which an empty folder alone allows
    asides = [*_asides(dataset), *(() if dataset else _imports())]
    for leftover in asides if remove else ():
        _remove(leftover.path)
    return [*found, *asides]


def _case_folders(dataset: str | None) -> list[tuple[str, str]]:
    """Dataset and case of all that has a folder of converted files or one of downloads."""
    settings = current_settings()
    folders = [folder for root in (settings.raw, settings.incoming) for folder in root.glob(f"{dataset or '*'}/*/")]
    return sorted({(folder.parent.name, case_of_folder(folder.name)) for folder in folders})


def _of_case(session: Session, dataset: str, case: str) -> Iterator[Leftover]:
    settings = current_settings()
    raw, incoming = (root / dataset / folder_name(case) for root in (settings.raw, settings.incoming))
    for folder in abandoned(raw):
        yield _leftover(folder, "files of an ingestion that was killed, not verified")
    if any(is_held(folder) for folder in raw.glob(f"{STAGING}-*")):
        return  # an ingestion is at these downloads
    for kind, name in ARCHIVES.items():
        archive = incoming / name
        files = [path for path in (archive, partial_file(archive)) if path.is_file()]
        row = queries.newest_file_of(session, dataset, case, kind) if files else None
        needless = [path for path in files if row is not None and _came_in(row, path)]
        for path in needless:
            yield _leftover(path, "a download whose case came in since")
        for note, of in ((facts_file(archive), archive), (guard_file(archive), partial_file(archive))):
            if note.is_file() and (of in needless or not of.is_file()):
                yield _leftover(note, "the note of a download that is gone")


def _came_in(row: CaseFile, download: Path) -> bool:
    """Whether a download is the one that its row was made from, or an older one."""
    facts = known_facts(download)
    is_same = facts is not None and facts.sha256 == row.archive_sha256
    return is_same or download.stat().st_ctime < row.created_at.timestamp()


def _asides(dataset: str | None) -> Iterator[Leftover]:
    settings = current_settings()
    derived = (settings.raw, settings.prepared, settings.runs, settings.predictions, settings.reports)
    before = time.time() - _ASIDE_S
    for root in [settings.raw / dataset] if dataset else derived:
        for path in sorted(root.rglob("*")):
            with suppress(FileNotFoundError):  # another process has just finished it
                if is_aside(path) and path.stat().st_mtime < before:
                    yield _leftover(path, "a file or folder that was not written to its end")


def _imports() -> Iterator[Leftover]:
    """Folders of imported models whose import was killed before the catalog knew of them."""
    settings = current_settings()
    before = time.time() - _ASIDE_S
    with reading_session(settings) as session:
        known = {settings.absolute(path).parent for path in session.scalars(select(Model.path))}
    for folder in sorted(settings.runs.glob(IMPORTED)):
        if folder not in known and not is_aside(folder) and folder.is_dir() and folder.stat().st_mtime < before:
            yield _leftover(folder, "a model whose import was killed")


def _leftover(path: Path, what: str) -> Leftover:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return Leftover(path, sum(file.stat().st_size for file in files), what)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
