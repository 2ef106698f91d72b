"""A layout of files: how to recognise it in a folder, and its name."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kits_core.case_names import check_name, cleaned, shown
from kits_core.errors import CaseError, KitsError
from kits_core.files import link_or_copy
from kits_core.label_map import HOW_TO_MAP, LabelMap
from kits_core.labels import Label
from kits_core.scan.endings import ITK_ENDINGS
from kits_core.source.location import CaseLocations, Form, Location, Source
from kits_core.source.text import decode
from kits_core.text import one_line

PLACE = "{case}"
"""Where the name of a case stands in a pattern of paths."""


@dataclass(frozen=True)
class Reading:
    """What people may state about a folder. `labels`: what the names, or the values, of structures mean.

    `images`, `masks`: where the files lie below the folder, as `scans/{case}_ct.nii.gz`.
    """

    labels: LabelMap = field(default_factory=LabelMap)
    images: str | None = None
    masks: str | None = None


@dataclass(frozen=True)
class CaseFiles:
    """A case of a dataset as files: uncompressed NIfTI, the mask with the values of `Label`, or none."""

    name: str
    image: Path
    mask: Path | None


@dataclass(frozen=True)
class Contents:
    """A dataset that is written as a layout. `folds`: names of the cases that are trained on, and those held out."""

    name: str
    cases: Sequence[CaseFiles]
    folds: Sequence[tuple[Sequence[str], Sequence[str]]] = ()


@dataclass(frozen=True)
class Layout:
    """One layout. `looks_for`: what makes a folder one of it, for messages.

    `find`: the source that a folder is, or None where it is none of this layout. Raises `KitsError` for one that is,
    but cannot be used. `order`: layouts with a smaller one are asked first.
    `write`: writes contents into an empty folder, and calls back with each case's name once it is written; None if this
    layout cannot be written.
    """

    name: str
    looks_for: str
    find: Callable[[Path, Reading], Source | None]
    order: int = 0
    write: Callable[[Path, Contents, Callable[[str], None]], None] | None = None


@dataclass(frozen=True)
class ListedSource:
    """A folder whose files a layout has listed: see `kits_core.source.location.Source`.

    `found`: the files of a case, or why it has none that can be used.
    """

    path: Path
    layout: str
    found: Mapping[str, CaseLocations | CaseError] = field(repr=False)
    values: Mapping[int, Label] | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.name

    @property
    def address(self) -> str:
        """Absolute path."""
        return str(self.path)

    @property
    def revision(self) -> str | None:
        """None: a folder has no versions."""
        return None

    def cases(self) -> tuple[str, ...]:
        """All names, sorted, also of those that cannot be used."""
        return tuple(sorted(self.found))

    def locate(self, case: str) -> CaseLocations:
        """The files of a case. Raises `CaseError` where it cannot be used."""
        found = self.found.get(case)
        if found is None:
            others = f"{len(self.found)} others"
            found = CaseError(case, expected=f"a case of {self.path}", got=others, next_step="choose one of those")
        if isinstance(found, CaseError):
            raise found
        return found

    def clinical(self) -> Location | None:
        """None: these layouts have no records."""
        return None

    def phase(self, case: str) -> str | None:  # noqa: ARG002 - these layouts tell no phases
        """None: these layouts do not say."""
        return None


def check_pattern(pattern: str) -> str:
    """`pattern` itself. Raises `KitsError` unless it is a path below a folder with `{case}` in its file's name."""
    parts = pattern.split("/")
    if parts[-1].count(PLACE) != 1 or any(PLACE in part or part in ("", ".", "..") for part in parts[:-1]):
        raise KitsError(
            f"{pattern!r}: expected a path with {PLACE} once, in the file's name, as scans/{PLACE}_ct.nii.gz"
        )
    return pattern


def put(source: Path, target: Path, *, is_mask: bool = False) -> None:
    """Put a file of the home into an export: an image as a hard link where the file system supports it.

    A mask is copied, because masks are what people correct, and the home's own must stay.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_mask:
        shutil.copyfile(source, target)
    else:
        link_or_copy(source, target)


def location_of(file: Path) -> Location:
    """A file as a location, to be read as its name says."""
    form: Form = "itk" if file.name.lower().endswith(ITK_ENDINGS) else "nifti"
    return Location(str(file), form=form)


def pair_up(images: Mapping[str, Path], masks: Mapping[str, Path]) -> dict[str, CaseLocations | CaseError]:
    """Cases from their images and masks by name; a mask without an image is a case that cannot be used."""
    found: dict[str, CaseLocations | CaseError] = {}
    for case in sorted({*images, *masks}):
        try:
            found[case] = _pair(check_name(case), images.get(case), masks.get(case))
        except CaseError as error:
            found[error.case] = error
    return found


def _pair(case: str, image: Path | None, mask: Path | None) -> CaseLocations:
    if image is None:
        step = "add the scan, or remove the mask"
        raise CaseError(case, expected="an image for its mask", got=f"only {mask}", next_step=step)
    return CaseLocations(case, location_of(image), location_of(mask) if mask is not None else None)


def by_name(named: list[tuple[str, Path]]) -> dict[str, Path]:
    """Files by the name of their case. Raises `KitsError` where two share one."""
    files: dict[str, Path] = {}
    for name, file in named:
        case = cleaned(name)
        if case in files:
            both = f"{files[case]} and {file}"
            raise KitsError(f"{shown(case)}: expected one file of this name, got {both}; rename or remove one of them")
        files[case] = file
    return files


def meanings(place: Path, names: Mapping[int, str], labels: LabelMap) -> dict[int, Label]:
    """The label of each value from the name that a file at `place` gives it; what is said of the value itself counts.

    Raises `KitsError` that lists the names which mean nothing here.
    """
    said = dict(labels.entries)
    known = {value: said[str(value)] for value in names if str(value) in said}
    unknown = [f"{name!r} ({value})" for value, name in names.items() if value not in known and not labels.knows(name)]
    if unknown:
        raise KitsError(
            f"{place}: expected names of structures with a known meaning, got {', '.join(unknown)}; {HOW_TO_MAP}"
        )
    return {value: known[value] if value in known else labels.label_of(name) for value, name in names.items()}


def stated_values(place: Path, labels: LabelMap) -> dict[int, Label] | None:
    """The label of each value where no file names them: what was said; None if nothing was, so that they are KiTS's.

    Raises `KitsError` for names.
    """
    names = [name for name, _ in labels.entries if not name.isdecimal()]
    if names:
        raise KitsError(
            f"{place}: expected values of voxels, because no file there names structures, got {', '.join(names)}; say "
            'what each value means, as --label "1=kidney"'
        )
    return {int(name): label for name, label in labels.entries} or None


def read_json(file: Path) -> dict[str, Any]:
    """A JSON file that holds an object. Raises `KitsError` for any other."""
    try:
        found = json.loads(decode(file.read_bytes()))
    except OSError as error:
        raise KitsError(f"{file}: expected a file of JSON, got {error.strerror}; make it readable") from error
    except (ValueError, RecursionError) as error:
        raise KitsError(f"{file}: expected JSON, got {one_line(str(error))}; correct the file") from error
    if not isinstance(found, dict):
        raise KitsError(f"{file}: expected an object of JSON, got {type(found).__name__}; correct the file")
    return found
