"""Finds the scans that the paths on a command line mean."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kits_core.case_names import cleaned
from kits_core.errors import CaseError
from kits_core.scan.endings import ENDINGS, ITK_ENDINGS, stem_of
from kits_core.scan.guard import reading_dicom
from kits_core.scan.header import looks_like_dicom
from kits_core.scan.series import Series, choose, group, series_below
from kits_core.text import listed

_OFFICIAL_IMAGE, _OFFICIAL_LABELS = "imaging", "segmentation"
_CHANNEL = "_0000"
"""What ends the name of each image in nnU-Net's layout, for its first channel."""
_MASK = ".seg"
"""What ends the name of a segmentation of 3D Slicer (`.seg.nrrd`), which often lies beside its scan."""
_UNSAFE = re.compile(r"[^\w.-]+")
_LONGEST_NAME_BYTES = 150


@dataclass(frozen=True)
class Scan:
    """One scan to read. `name` is safe as a file's name and unique among those found with it.

    `path`: the file, or the DICOM folder that was named; `itk` is an NRRD or a MetaImage. `files`: that file, or the
    series' files by name.
    """

    name: str
    path: Path
    kind: Literal["nifti", "itk", "dicom"]
    files: tuple[Path, ...]
    series_uid: str | None = None


@dataclass(frozen=True)
class FoundScans:
    """The scans in the order of the paths, and a reason for each path, file or series that is no scan."""

    scans: tuple[Scan, ...]
    refused: tuple[CaseError, ...]


def find_scans(paths: Sequence[Path], *, series: str | None = None) -> FoundScans:
    """The scans at `paths`: NIfTI, NRRD and MetaImage files, folders of them, DICOM folders.

    A folder may be one of the official layout (`case_x/imaging.nii.gz`) or nnU-Net's `imagesTs`, whose names end in
    `_0000`, which is left out. Segmentations of 3D Slicer (`.seg.nrrd`) are no scans.

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
    return FoundScans(tuple(_with_unique_names(scans.values())), tuple(refused))


def _scans_at(path: Path, series: str | None) -> Iterator[Scan]:
    if path.is_dir():
        yield from _scans_in(path, series)
    elif not path.is_file():
        raise _refusal(path, "nothing at this path", "check the path")
    elif _stem(path) is not None:
        yield _image(path)
    elif looks_like_dicom(path):
        found = group([path])
        if not found or found[0].slices <= 1:
            raise _refusal(path, "one DICOM file", "name the folder with all slices of the series")
        yield _dicom(path, choose(str(path), found, series))
    elif _is_mask(path):
        raise _refusal(path, "a segmentation", "name the scan that it was drawn on")
    else:
        raise _refusal(path, "a file of another kind", "convert it to NIfTI (.nii.gz), or unpack it to a DICOM folder")


def _scans_in(folder: Path, series: str | None) -> Iterator[Scan]:
    """Images first: they are good whatever is wrong with DICOM beside them, which only counts if it is a CT."""
    images = sorted(_images_in(folder))
    yield from _without_channel(list(map(_image, images)))
    found = series_below(folder)
    if any(one.is_choice for one in found) or (found and not images):
        yield _dicom(folder, choose(str(folder), found, series))
    elif not images:
        raise _refusal(folder, _content(folder), "name a folder that holds a scan")


def _images_in(folder: Path) -> Iterator[Path]:
    """Images of a folder, and official cases below it; never a segmentation beside its image."""
    inside = {path for path in folder.iterdir() if path.is_file() and _stem(path) is not None}
    official = any(_stem(path) == _OFFICIAL_IMAGE for path in inside)
    yield from (path for path in inside if not (official and _stem(path) == _OFFICIAL_LABELS))
    for ending in ENDINGS:
        yield from (path for path in folder.glob(f"case_*/{_OFFICIAL_IMAGE}{ending}") if path.is_file())


def _content(folder: Path) -> str:
    folders = [f"{entry.name}/" for entry in sorted(folder.iterdir()) if entry.is_dir()]
    if folders:
        return f"no scan in it, but the folders {listed(folders)}"
    return "files of other kinds only" if any(folder.iterdir()) else "an empty folder"


def _image(path: Path) -> Scan:
    stem = _stem(path) or path.name
    kind: Literal["nifti", "itk"] = "itk" if path.name.lower().endswith(ITK_ENDINGS) else "nifti"
    return Scan(path.resolve().parent.name if stem == _OFFICIAL_IMAGE else stem, path, kind, (path,))


def _without_channel(scans: list[Scan]) -> list[Scan]:
    """Under the names of their cases, where all are called as nnU-Net calls its images."""
    if all(scan.name.endswith(_CHANNEL) and scan.name != _CHANNEL for scan in scans):
        return [replace(scan, name=scan.name.removesuffix(_CHANNEL)) for scan in scans]
    return scans


def _dicom(path: Path, series: Series) -> Scan:
    name = path.resolve().name if path.is_dir() else path.stem
    return Scan(name, path, "dicom", tuple(header.path for header in series.headers), series.uid)


def _stem(path: Path) -> str | None:
    """An image's name without its ending; None for other and for hidden files, and for masks."""
    return None if path.name.startswith(".") or _is_mask(path) else stem_of(path)


def _is_mask(path: Path) -> bool:
    return (stem_of(path) or "").lower().endswith(_MASK)


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
    return CaseError(name, expected="a NIfTI, NRRD or MetaImage file, or a DICOM folder", got=got, next_step=next_step)
