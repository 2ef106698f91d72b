"""Finds the scans that the paths on a command line mean."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kits_core.case_names import cleaned
from kits_core.errors import CaseError
from kits_core.scan.guard import reading_dicom
from kits_core.scan.header import looks_like_dicom
from kits_core.scan.series import Series, choose, group, series_below

_NIFTI = (".nii.gz", ".nii")
_OFFICIAL_IMAGE, _OFFICIAL_LABELS = "imaging", "segmentation"
_UNSAFE = re.compile(r"[^\w.-]+")
_LONGEST_NAME_BYTES = 150


@dataclass(frozen=True)
class Scan:
    """One scan to read. `name` is safe as a file's name and unique among those found with it.

    `path`: the NIfTI file, or the DICOM folder that was named. `files`: that file, or the series' files by name.
    """

    name: str
    path: Path
    kind: Literal["nifti", "dicom"]
    files: tuple[Path, ...]
    series_uid: str | None = None


@dataclass(frozen=True)
class Found:
    """The scans in the order of the paths, and a reason for each path, file or series that is no scan."""

    scans: tuple[Scan, ...]
    refused: tuple[CaseError, ...]


def find_scans(paths: Sequence[Path], *, series: str | None = None) -> Found:
    """The scans at `paths`: NIfTI files, folders of them (also official, `case_x/imaging.nii.gz`), DICOM folders.

    `series`: the SeriesInstanceUID to take from DICOM folders. A path that does not exist, holds nothing usable or
    several CT series is refused with the reason, and the others go on. A scan named twice is found once.
    """
    scans: dict[tuple[Path, str | None], Scan] = {}
    refused: list[CaseError] = []
    for path in paths:
        try:
            with reading_dicom(str(path)):
                for scan in _scans_at(path, series):
                    if _is_unicode(scan.path):
                        scans.setdefault((scan.path.resolve(), scan.series_uid), scan)
                    else:  # neither a plan nor the catalog could say where it lies
                        refused.append(_refusal(scan.path, "a name that is not in UTF-8", "rename it"))
        except CaseError as error:
            refused.append(error)
    return Found(tuple(_with_unique_names(scans.values())), tuple(refused))


def _scans_at(path: Path, series: str | None) -> Iterator[Scan]:
    if path.is_dir():
        yield from _scans_in(path, series)
    elif not path.is_file():
        raise _refusal(path, "nothing at this path", "check the path")
    elif _stem(path) is not None:
        yield _nifti(path)
    elif looks_like_dicom(path):
        found = group([path])
        if not found or found[0].slices <= 1:
            raise _refusal(path, "one DICOM file", "name the folder with all slices of the series")
        yield _dicom(path, choose(str(path), found, series))
    else:
        raise _refusal(path, "a file of another kind", "convert it to NIfTI (.nii.gz), or unpack it to a DICOM folder")


def _scans_in(folder: Path, series: str | None) -> Iterator[Scan]:
    """NIfTI files first: they are good whatever is wrong with DICOM beside them, which only counts if it is a CT."""
    images = sorted(_images_in(folder))
    yield from map(_nifti, images)
    found = series_below(folder)
    if any(one.is_choice for one in found) or (found and not images):
        yield _dicom(folder, choose(str(folder), found, series))
    elif not images:
        content = "files of other kinds only" if any(folder.iterdir()) else "an empty folder"
        raise _refusal(folder, content, "name a folder that holds a scan")


def _images_in(folder: Path) -> Iterator[Path]:
    """NIfTI files of a folder, and official cases below it; never a segmentation beside its image."""
    inside = {path for path in folder.iterdir() if path.is_file() and _stem(path) is not None}
    official = any(_stem(path) == _OFFICIAL_IMAGE for path in inside)
    yield from (path for path in inside if not (official and _stem(path) == _OFFICIAL_LABELS))
    for ending in _NIFTI:
        yield from (path for path in folder.glob(f"case_*/{_OFFICIAL_IMAGE}{ending}") if path.is_file())


def _nifti(path: Path) -> Scan:
    stem = _stem(path) or path.name
    return Scan(path.resolve().parent.name if stem == _OFFICIAL_IMAGE else stem, path, "nifti", (path,))


def _dicom(path: Path, series: Series) -> Scan:
    name = path.resolve().name if path.is_dir() else path.stem
    return Scan(name, path, "dicom", tuple(header.path for header in series.headers), series.uid)


def _stem(path: Path) -> str | None:
    """A NIfTI file's name without its ending; None for other and for hidden files."""
    ending = next((ending for ending in _NIFTI if path.name.lower().endswith(ending)), None)
    return None if ending is None or path.name.startswith(".") else path.name[: -len(ending)]


def _with_unique_names(scans: Iterable[Scan]) -> Iterator[Scan]:
    """Safe names in any script, told apart by a number; without regard to case, as file systems of laptops do."""
    taken: set[str] = set()
    for scan in scans:
        base = _UNSAFE.sub("_", cleaned(scan.name)).encode()[:_LONGEST_NAME_BYTES].decode(errors="ignore")
        base = base.strip("._-") or "scan"
        name, number = base, 2
        while name.casefold() in taken:
            name, number = f"{base}_{number}", number + 1
        taken.add(name.casefold())
        yield replace(scan, name=name)


def _is_unicode(path: Path) -> bool:
    """Whether a path can be written down; Python keeps other bytes of a name as half surrogate pairs."""
    return not any("\ud800" <= letter <= "\udfff" for letter in str(path.absolute()))


def _refusal(path: Path, got: str, next_step: str) -> CaseError:
    name = str(path) if _is_unicode(path) else ascii(str(path))
    return CaseError(name, expected="a NIfTI file or a DICOM folder", got=got, next_step=next_step)
