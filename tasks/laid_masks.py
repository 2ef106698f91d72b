"""Corrected masks that someone put into the home's folder `corrections/`: finds, identifies and moves them."""

import hashlib
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import reading_session
from db.models import Case, Dataset, Prediction, RunStatus
from db.settings import Settings
from kits_core.case_names import case_of_folder, folder_name
from kits_core.errors import CaseError, KitsError
from kits_core.files import write_text_atomically
from kits_core.plan.record import is_plan
from kits_core.scan.endings import stem_of
from kits_core.scan.header import looks_like_dicom
from kits_core.settled import last_change, settled

DONE, REFUSED = "done", "refused"
SETTLE_SECONDS = 30.0
_SEGMENTATION = ".seg"
_DICOM = ".dcm"
_NOT_MEANT = frozenset({"thumbs.db", "desktop.ini"})  # which Windows creates everywhere


@dataclass(frozen=True)
class LaidMask:
    """A file, or a folder, that lies in `corrections/`. `name`: of the case or plan that it is called after."""

    thing: Path
    name: str

    @property
    def mask(self) -> Path:
        """The one file of it. Raises `CaseError` for a folder with none or several, and for a file that is no mask."""
        files = [self.thing]
        if self.thing.is_dir():
            files = [path for path in sorted(self.thing.iterdir()) if _counts(path)]
            if len(files) != 1 or not files[0].is_file():
                raise self._unusable(f"{len(files)} things in the folder")
        if files[0].is_symlink() or _name_of(files[0]) is None:
            raise self._unusable("another kind of file")
        return files[0]

    @property
    def by(self) -> str:
        """The account of the user who put it there."""
        owner = self.thing.stat().st_uid
        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:  # of another machine that shares the folder
            return f"account {owner}"

    def _unusable(self, got: str) -> CaseError:
        return CaseError(
            self.name,
            expected="one mask: NIfTI (.nii.gz, .nii), NRRD (.seg.nrrd, .nrrd), MetaImage (.mha) or DICOM SEG (.dcm)",
            got=got,
            next_step="put one file there, named after its case or plan",
        )


def find_laid(settings: Settings, settle_seconds: float = SETTLE_SECONDS) -> list[LaidMask]:
    """Files and folders in `corrections/` that have not changed for a while and are not the home's own.

    The folders there that are called as datasets hold their corrected references. Raises `KitsError` for a dataset that
    is called as a folder for what was taken or refused.
    """
    things = [thing for thing in settled([settings.corrections], settle_seconds) if _counts(thing)]
    things = [thing for thing in things if thing.name not in (DONE, REFUSED)]
    if not things:
        return []
    with reading_session(settings) as session:
        datasets = set(session.scalars(select(Dataset.name)))
    if taken := sorted(datasets & {DONE, REFUSED}):
        raise KitsError(
            f"{settings.corrections}: expected no dataset called {taken[0]}, whose folder is for masks that were laid "
            "there, got one; give masks to kits correct instead"
        )
    own = {name.partition("/")[0] for name in datasets}
    return [
        LaidMask(thing, case_of_folder(thing.name if thing.is_dir() else _name_of(thing) or thing.stem))
        for thing in things
        if not (thing.is_dir() and (thing.name in own or _holds_references(thing)))
    ]


def key_of(laid: Iterable[LaidMask]) -> str:
    """A key that changes whenever the content there changes."""
    state = "\n".join(f"{one.thing} {last_change(one.thing)}" for one in laid)
    return hashlib.sha256(state.encode()).hexdigest()


def what_it_corrects(session: Session, name: str) -> str:
    """The case of a name, or the folder of the only plan of a scan of that name, for `kits correct`.

    Raises `CaseError` where there is neither, or several plans.
    """
    if session.scalars(select(Case.id).where(Case.name == name)).first() is not None:
        return name
    completed = (Prediction.scan == name) & (Prediction.status == RunStatus.COMPLETED)
    plans = {Path(folder) for folder in session.scalars(select(Prediction.folder).where(completed))}
    there = sorted(folder for folder in plans if is_plan(folder))
    if len(there) == 1:
        return str(there[0])
    got = "neither" if not there else f"plans in {', '.join(map(str, there))}"
    raise CaseError(
        name,
        expected="the name of a case of the catalog, or of one plan that kits predict wrote",
        got=got,
        next_step="name the file after it, or give it to kits correct",
    )


def put_away(settings: Settings, laid: LaidMask, where: Literal["done", "refused"], text: str) -> Path:
    """Move it to `done/` or `refused/`, into a folder of its case's name, with `text` beside it; its new place."""
    folder = settings.corrections / where / folder_name(laid.name)
    place = next(
        place
        for number in count(1)
        if not (place := folder / (laid.thing.name if number == 1 else f"{number}_{laid.thing.name}")).exists()
    )
    write_text_atomically(place.with_name(f"{place.name}.txt"), f"{text}\n")
    laid.thing.rename(place)
    return place


def _holds_references(folder: Path) -> bool:
    """Whether it looks like the corrected references of a dataset that the catalog does not know."""
    return any(path.is_dir() or path.suffix == ".json" for path in folder.iterdir())


def _counts(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.lower() not in _NOT_MEANT


def _name_of(file: Path) -> str | None:
    """The name of the case or plan in a mask's file name; None for a file that is no mask by its name and content."""
    stem = stem_of(file)
    if stem is None:
        is_dicom = file.is_file() and looks_like_dicom(file)
        if not is_dicom:
            return None
        return file.stem if file.suffix.lower() == _DICOM else file.name
    return stem[: -len(_SEGMENTATION)] if stem.lower().endswith(_SEGMENTATION) else stem
