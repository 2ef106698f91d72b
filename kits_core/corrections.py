"""References that a person corrected: an overlay over what a case's source has, kept as files of the home.

The folder of a dataset holds two files for each corrected case. The mask is uint8 with values of `Label`, on the grid
of the case's image. The note says who, when, from which file, after which prediction. Earlier ones are kept in `kept/`;
none is deleted.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Self

from kits_core.case_names import folder_name
from kits_core.files import is_aside, link_or_copy, sha256_of, sync_folder, write_text_atomically
from kits_core.geometry.volume import Volume, write_volume
from kits_core.source.location import Location

_KEPT = "kept"
_MASK, _NOTE = ".nii.gz", ".json"
_DIGITS_SHOWN = 12


@dataclass(frozen=True)
class DrawnScan:
    """The scan of a plan that became a case. `source`: its path, or a pseudonym; `sha256`: see `scan_sha256`."""

    source: str
    series_uid: str | None
    sha256: str


@dataclass(frozen=True)
class Note:
    """What is known about a corrected mask. `at`: a time, ISO 8601 in UTC; `file`: where it came from.

    `after`: the prediction or evaluation that was corrected, for people; None where nothing says. `image_sha256`: of
    the converted image that it was drawn on. `scan`: of a case that was made of a plan. `plan`: the folder of the plan
    that was made of the mask. `notes`: how the file was read; `read_as`: the label of each name or value in it.
    """

    by: str
    at: str
    file: str
    file_sha256: str
    after: str | None = None
    image_sha256: str | None = None
    scan: DrawnScan | None = None
    plan: str | None = None
    notes: tuple[str, ...] = ()
    read_as: Mapping[str, str] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """Who, when, from what, for people."""
        day = datetime.fromisoformat(self.at).strftime("%Y-%m-%d")
        line = f"corrected by {self.by} on {day}, from {self.file} (SHA-256 {self.file_sha256[:_DIGITS_SHOWN]}...)"
        return f"{line}, after {self.after}" if self.after else line

    @classmethod
    def of_json(cls, stored: Mapping[str, Any]) -> Self:
        """What `asdict` gave. Raises `KeyError` or `TypeError` for something else."""
        known = {name: stored[name] for name in cls.__dataclass_fields__ if name in stored}
        scan = DrawnScan(**known["scan"]) if known.get("scan") else None
        return cls(**{**known, "scan": scan, "notes": tuple(known.get("notes", ()))})


@dataclass(frozen=True)
class Overlay:
    """The corrected reference of a case, there or not. `folder`: that of the dataset."""

    folder: Path
    case: str

    @property
    def mask(self) -> Path:
        """Where the mask lies. There is an overlay where this file is."""
        return self.folder / f"{folder_name(self.case)}{_MASK}"

    @property
    def _note(self) -> Path:
        return self.folder / f"{folder_name(self.case)}{_NOTE}"

    @property
    def _kept(self) -> Path:
        return self.folder / _KEPT / folder_name(self.case)

    def is_there(self) -> bool:
        """Whether the case has a corrected reference."""
        return self.mask.is_file()

    def read_note(self) -> Note | None:
        """The note of the mask that is there; None without one, or where it is of another mask."""
        stored = _read(self._note)
        if stored is None or not self.is_there() or stored[0] != sha256_of(self.mask):
            return None
        return stored[1]

    def location(self) -> Location:
        """The mask as a file to bring in, and what a reader should know of it."""
        note = self.read_note()
        origin = note.line if note else "corrected, and nobody noted by whom"
        return Location(
            str(self.mask), sha256_of(self.mask), notes=(f"reference {origin}", *(note.notes if note else ()))
        )

    def write(self, labels: Volume, note: Note) -> None:
        """Put a mask here and keep the earlier one. The mask is written last: a kill leaves the earlier one."""
        self._keep()
        self.folder.mkdir(parents=True, exist_ok=True)
        for aside in self._asides():
            aside.unlink(missing_ok=True)
        mask, noted = map(_made, (self.mask, self._note))
        write_volume(mask, labels)
        stored = {"sha256": sha256_of(mask), **asdict(note)}
        write_text_atomically(noted, json.dumps(stored, indent=2, ensure_ascii=False) + "\n")
        noted.replace(self._note)
        mask.replace(self.mask)
        sync_folder(self.folder)

    def set_aside(self) -> Path:
        """Take the mask away. Returns where it is kept. Raises `FileNotFoundError` where there is none."""
        kept = self._keep()
        if kept is None:
            raise FileNotFoundError(self.mask)
        self.mask.unlink()
        self._note.unlink(missing_ok=True)
        return kept

    def notes(self) -> Iterator[Note]:
        """All notes of the case, of kept masks too."""
        for path in (self._note, *sorted(self._kept.glob(f"*{_NOTE}"))):
            if (stored := _read(path)) is not None:
                yield stored[1]

    def hashes(self) -> set[str]:
        """SHA-256 of the masks that are here and that are kept."""
        masks = [self.mask, *self._kept.glob(f"*{_MASK}")]
        return {sha256_of(mask) for mask in masks if mask.is_file()}

    def files(self) -> list[Path]:
        """Everything here of the case: what is kept, the mask, the note, and what a kill left of them."""
        return [path for path in (self._kept, self.mask, self._note, *self._asides()) if path.exists()]

    def _keep(self) -> Path | None:
        """A second name for the mask that is here, once, and its note; None where there is no mask."""
        if not self.is_there():
            return None
        sha256 = sha256_of(self.mask)
        names = (self._kept / f"{number}{_MASK}" for number in count(1))
        kept = next(name for name in names if not name.exists() or sha256_of(name) == sha256)
        kept.parent.mkdir(parents=True, exist_ok=True)
        stored = _read(self._note)
        if stored is not None and stored[0] == sha256:
            text = self._note.read_text(encoding="utf-8")
            write_text_atomically(kept.with_name(kept.name.removesuffix(_MASK) + _NOTE), text)
        if not kept.exists():
            link_or_copy(self.mask, kept)
        sync_folder(kept.parent)
        return kept

    def _asides(self) -> list[Path]:
        """Unfinished files of a killed `write`."""
        made = [_made(self.mask).name, _made(self._note).name]
        begun = tuple(f"{name}." for name in made)
        found = self.folder.iterdir() if self.folder.is_dir() else ()
        return [path for path in found if path.name in made or (path.name.startswith(begun) and is_aside(path))]


def corrected_cases(folder: Path) -> set[str]:
    """Names of the folders of a dataset's cases that have an overlay, as `folder_name` gives them."""
    return {mask.name.removesuffix(_MASK) for mask in folder.glob(f"*{_MASK}") if not mask.name.startswith(".")}


def once_corrected_cases(folder: Path) -> set[str]:
    """The same, with the cases that had an overlay earlier."""
    return corrected_cases(folder) | {kept.name for kept in folder.glob(f"{_KEPT}/*") if kept.is_dir()}


def _made(path: Path) -> Path:
    """Where a file is made that goes to `path`: no case's file begins with a dot."""
    return path.with_name(f".{path.name}")


def _read(path: Path) -> tuple[str, Note] | None:
    """The SHA-256 of the mask that a note describes, and the note; None where there is no complete note."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return str(stored["sha256"]), Note.of_json(stored)
    except (OSError, ValueError, KeyError, TypeError):
        return None
