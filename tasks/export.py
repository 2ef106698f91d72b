"""A dataset of the catalog, as files in a layout that other software reads."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from db.engine import reading_session
from db.models import CaseStatus, FileKind, Split, Subset
from db.queries import ingest as ingest_queries
from db.queries import split as split_queries
from db.settings import current_settings
from kits_core.errors import KitsError
from kits_core.source.layout import CaseFiles, Contents
from kits_core.source.layouts import LAYOUTS

Folds = Sequence[tuple[Sequence[str], Sequence[str]]]


@dataclass(frozen=True)
class Exported:
    """What was written where. `cases`: how many; `references`: how many of them with a mask; `folds`: of the split."""

    dataset: str
    layout: str
    folder: str
    cases: int
    references: int
    folds: int


def check_out(out: Path) -> Path:
    """The absolute path of a folder for an export. Raises `KitsError` unless it is empty or not there yet."""
    out = out.expanduser().absolute()
    if not out.parent.is_dir():
        raise KitsError(f"{out}: expected a folder to write to, got none at {out.parent}; make it first")
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise KitsError(f"{out}: expected an empty folder or none, got other files, which stay; name another folder")
    return out


@contextmanager
def written_folder(out: Path) -> Iterator[Path]:
    """Yields a temporary folder to fill. It becomes `out` when the block ends well; otherwise it is removed."""
    aside = out.with_name(f".{out.name}-{os.getpid()}")
    aside.mkdir()
    try:
        yield aside
        with suppress(FileNotFoundError):
            out.rmdir()  # the empty one that was there
        aside.rename(out)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def export_dataset(
    layout: str, dataset: str | None, out: Path, split: int | None, on_case: Callable[[int, int, str], None]
) -> Exported:
    """Write the ingested cases of a dataset to the folder `out`, whole or not at all.

    `split`: the id of a split whose sides or folds are written too. `on_case` is called with the number of cases
    written, the number of all, and the last one's name. Raises `KitsError` for a layout that is not written, a folder
    that is not empty, a dataset or split that is not there, and files that are gone.
    """
    known = {name: one.write for name, one in LAYOUTS.load().items() if one.write is not None}
    if layout not in known:
        raise KitsError(f"layout: expected one of {', '.join(known)}, got {layout!r}; name one of these")
    out = check_out(out)
    with reading_session(current_settings()) as session:
        contents = _contents(session, dataset, split)
    done: list[str] = []

    def count(case: str) -> None:
        done.append(case)
        on_case(len(done), len(contents.cases), case)

    with written_folder(out) as aside:
        known[layout](aside, contents, count)
    references = sum(case.mask is not None for case in contents.cases)
    return Exported(contents.name, layout, str(out), len(contents.cases), references, len(contents.folds))


def _contents(session: Session, dataset: str | None, split: int | None) -> Contents:
    settings = current_settings()
    row = ingest_queries.find_dataset(session, dataset)
    cases = []
    for case in ingest_queries.cases_of(session, row.id, CaseStatus.INGESTED):
        files = {kind: settings.absolute(file.path) for kind in FileKind if (file := case.file(kind)) is not None}
        gone = [path for path in files.values() if not path.is_file()]
        if gone:
            raise KitsError(f"{case.name}: expected {gone[0]}, got no such file; run kits ingest to bring it")
        if FileKind.IMAGE in files:
            cases.append(CaseFiles(case.name, files[FileKind.IMAGE], files.get(FileKind.SEGMENTATION)))
    if not cases:
        raise KitsError(f"{row.name}: expected ingested cases to export, got none; run kits ingest")
    folds = [] if split is None else _folds(session, split_queries.find_split(session, row.id, split))
    return Contents(row.name, cases, folds)


def _folds(session: Session, split: Split) -> Folds:
    """Each fold's two sides, or the split's own two."""

    def side(subset: Subset, fold: int | None) -> list[str]:
        return [member.case.name for member in split_queries.side(session, split.id, subset, fold)]

    numbers: Sequence[int | None] = range(split.folds) if split.folds else [None]
    return [(side(Subset.TRAIN, fold), side(Subset.VALIDATION, fold)) for fold in numbers]
