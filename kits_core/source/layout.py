"""A source of cases in the official `dataset/` layout: the KiTS23 preset, a URL or a folder, behind one protocol."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx

from kits_core.errors import CaseError, KitsError, check_case_name
from kits_core.source.address import check_address
from kits_core.source.preset import CASES, NAME, Kits23Addresses, phase_of
from kits_core.source.records import parse_records
from kits_core.source.sums import (
    IMAGE_NAME,
    PREFIXES,
    RECORDS_NAME,
    SEGMENTATION_NAME,
    SHA512_DIGITS,
    SUMS_NAMES,
    Sums,
    read_sums,
)
from kits_core.source.text import decode
from kits_core.source.transfer import Transfer, TransferError

__all__ = [
    "IMAGE_NAME",
    "RECORDS_NAME",
    "SEGMENTATION_NAME",
    "SUMS_NAMES",
    "CaseLocations",
    "FolderSource",
    "HttpSource",
    "Kits23Source",
    "Location",
    "Source",
    "open_source",
]

_LAYOUT = f"folders case_00000, case_00001, ... with {IMAGE_NAME} and, if known, {SEGMENTATION_NAME}"
_BAG, _PAYLOAD = "bagit.txt", "data"


@dataclass(frozen=True)
class Location:
    """One file: a URL or a path, with the SHA-256 or SHA-512 that the source states for it.

    `may_be_missing`: the source does not say whether the file exists, so that a 404 is an answer and no fault.
    """

    address: str
    sha256: str | None = None
    may_be_missing: bool = False
    sha512: str | None = None


@dataclass(frozen=True)
class CaseLocations:
    """Where one case's files are. Without a segmentation it is a case to predict."""

    case: str
    image: Location
    segmentation: Location | None


class Source(Protocol):
    """Where cases come from. Asking is cheap: what a source knows, it learned when it was opened."""

    @property
    def name(self) -> str:
        """Short name for people and the catalog."""

    @property
    def address(self) -> str:
        """The preset's name, the base URL or the folder's absolute path."""

    @property
    def revision(self) -> str | None:
        """What version of the source is asked for, where it has versions."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the source is not used, and why; for people."""

    def cases(self) -> tuple[str, ...]:
        """Sorted names of the cases it has."""

    def locate(self, case: str) -> CaseLocations:
        """Where a case's files are. Raises `CaseError` if it has no such case or no image for it."""

    def clinical(self) -> Location | None:
        """Where the clinical records are; None without any."""

    def phase(self, case: str) -> str | None:
        """Contrast phase where the source's makers told it."""


@dataclass(frozen=True)
class FolderSource:
    """A folder in the official layout.

    `sums`: hash by relative path from its `SHA256SUMS` or BagIt manifest, see `Sums`; empty without one. `bag`: the
    name of the BagIt bag whose payload it is.
    """

    path: Path
    sums: Mapping[str, str] = field(default_factory=dict, repr=False)
    bag: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The bag's or the folder's own name."""
        return self.bag or self.path.name

    @property
    def address(self) -> str:
        """Absolute path."""
        return str(self.path)

    @property
    def revision(self) -> str | None:
        """None: a folder has no versions."""
        return None

    def cases(self) -> tuple[str, ...]:
        """The `case_*` subfolders, sorted. Raises `CaseError` for one whose name is not an official case name."""
        return tuple(sorted(check_case_name(entry.name) for entry in self.path.glob("case_*") if entry.is_dir()))

    def locate(self, case: str) -> CaseLocations:
        """Paths in the case's subfolder. Raises `CaseError` where there is no image."""
        folder = self.path / check_case_name(case)
        image, segmentation = folder / IMAGE_NAME, folder / SEGMENTATION_NAME
        if not image.is_file():
            got = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else "no such folder"
            raise CaseError(
                case,
                expected=f"{IMAGE_NAME} in {folder}",
                got=str(got),
                next_step="put the scan there, then ingest again",
            )
        return CaseLocations(
            case, self._location(image), self._location(segmentation) if segmentation.is_file() else None
        )

    def clinical(self) -> Location | None:
        """`kits23.json` in the folder."""
        file = self.path / RECORDS_NAME
        return self._location(file) if file.is_file() else None

    def phase(self, case: str) -> str | None:  # noqa: ARG002 - a folder tells no phases
        """None: a folder does not say."""
        return None

    def _location(self, file: Path) -> Location:
        return _location(str(file), self.sums.get(file.relative_to(self.path).as_posix()))


@dataclass(frozen=True)
class HttpSource:
    """A URL whose root is in the official layout.

    `names`: its cases; `sums`: hash by relative path, see `Sums`, which then also tells the files that exist;
    `has_records`: whether `kits23.json` is there; `below`: where the cases lie below the URL.
    """

    base_url: str
    names: tuple[str, ...]
    sums: Mapping[str, str] = field(default_factory=dict, repr=False)
    has_records: bool = False
    below: str = ""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The host and the last part of the path."""
        url = httpx.URL(self.base_url)
        last = url.path.rstrip("/").rpartition("/")[2]
        return f"{url.host}/{last}" if last else url.host

    @property
    def address(self) -> str:
        """Base URL without a final slash."""
        return self.base_url.rstrip("/")

    @property
    def revision(self) -> str | None:
        """None: a URL has no versions."""
        return None

    def cases(self) -> tuple[str, ...]:
        """The cases that the root's `SHA256SUMS` or `kits23.json` names, sorted."""
        return self.names

    def locate(self, case: str) -> CaseLocations:
        """URLs below the base. Without sums nobody knows which cases have a segmentation: see `may_be_missing`."""
        if check_case_name(case) not in self.names:
            raise CaseError(
                case,
                expected=f"a case of {self.address}",
                got=f"{len(self.names)} others",
                next_step="choose one of those",
            )
        segmentation = f"{case}/{SEGMENTATION_NAME}"
        unknown = not self.sums
        return CaseLocations(
            case,
            self._location(f"{case}/{IMAGE_NAME}"),
            self._location(segmentation, may_be_missing=unknown) if unknown or segmentation in self.sums else None,
        )

    def clinical(self) -> Location | None:
        """`kits23.json` at the root."""
        return self._location(RECORDS_NAME) if self.has_records else None

    def phase(self, case: str) -> str | None:  # noqa: ARG002 - a URL tells no phases
        """None: a URL does not say."""
        return None

    def _location(self, relative: str, *, may_be_missing: bool = False) -> Location:
        address = f"{self.address}/{self.below}{relative}"
        return _location(address, self.sums.get(relative), may_be_missing=may_be_missing)


@dataclass(frozen=True)
class Kits23Source:
    """The public KiTS23 data, at the addresses given."""

    addresses: Kits23Addresses = field(default_factory=Kits23Addresses)

    @property
    def name(self) -> str:
        """`kits23`."""
        return NAME

    @property
    def address(self) -> str:
        """Base URL of the images with their revision: the larger and more changeable of the two hosts."""
        return f"{self.addresses.image_base.rstrip('/')}/{self.addresses.image_revision}"

    @property
    def revision(self) -> str | None:
        """The revisions of both hosts."""
        return f"images {self.addresses.image_revision}, labels {self.addresses.label_revision}"

    @property
    def notes(self) -> tuple[str, ...]:
        """None."""
        return ()

    def cases(self) -> tuple[str, ...]:
        """All 489."""
        return CASES

    def locate(self, case: str) -> CaseLocations:
        """URLs on both hosts. The image's host states its SHA-256 when it is fetched."""
        if check_case_name(case) not in CASES:
            raise CaseError(
                case, expected="an id from 0 to 299 or 400 to 588", got=case, next_step="choose one of the 489 cases"
            )
        return CaseLocations(case, Location(self.addresses.image(case)), Location(self.addresses.segmentation(case)))

    def clinical(self) -> Location | None:
        """`kits23.json` beside the segmentations."""
        return Location(self.addresses.clinical())

    def phase(self, case: str) -> str | None:
        """Arterial up to case 499, nephrogenic from 500 on."""
        return phase_of(case)


def open_source(
    text: str, *, transfer: Transfer | None = None, addresses: Kits23Addresses | None = None
) -> FolderSource | HttpSource | Kits23Source:
    """The source that `text` names: `kits23`, an http(s) URL, or a folder.

    A URL is asked for its list of SHA-256 and `kits23.json` here, once. A folder may also be the one above `dataset/`.
    Raises `KitsError` for anything else, with what is expected; `TransferError` if a URL's root cannot be read.
    """
    check_address(text)
    if text == NAME:
        return Kits23Source(addresses or Kits23Addresses())
    if text.startswith(("http://", "https://")):
        return _open_url(text.rstrip("/"), transfer or Transfer())
    if "://" in text:
        raise KitsError(f"{text}: expected an http or https address; download the folder first and name it instead")
    return _open_folder(Path(text).expanduser())


def _location(address: str, digest: str | None, *, may_be_missing: bool = False) -> Location:
    if digest is not None and len(digest) == SHA512_DIGITS:
        return Location(address, None, may_be_missing, digest)
    return Location(address, digest, may_be_missing)


def _open_url(base: str, transfer: Transfer) -> HttpSource:
    listed = ((name, _optional_text(f"{base}/{name}", transfer)) for name in SUMS_NAMES)
    sums = next((read_sums(text, name) for name, text in listed if text is not None), Sums())
    if sums.images:
        return HttpSource(base, sums.images, sums.by_path, RECORDS_NAME in sums.by_path, sums.prefix, sums.notes)
    records = _optional_text(f"{base}/{RECORDS_NAME}", transfer)
    if records is not None:
        found = parse_records(records, f"{base}/{RECORDS_NAME}")
        if found.entries:
            notes = (*sums.notes, *(str(problem) for problem in found.problems))
            return HttpSource(base, tuple(sorted(found.entries)), sums.by_path, has_records=True, notes=notes)
    raise KitsError(
        f"{base}: expected {' or '.join(SUMS_NAMES)} or {RECORDS_NAME} there, naming cases{_but(sums.notes)}; "
        f"give the address of a folder in the official layout: {_LAYOUT}"
    )


def _but(notes: tuple[str, ...]) -> str:
    return f", got {'; '.join(notes)}" if notes else ""


def _optional_text(url: str, transfer: Transfer) -> str | None:
    try:
        return transfer.text(url)
    except TransferError as error:
        if error.status in (403, 404, 410):  # 403 is what object stores answer for a missing key
            return None
        raise


def _open_folder(folder: Path) -> FolderSource:
    if not folder.is_dir():
        raise KitsError(f"{folder}: expected {NAME}, an http(s) address or an existing folder; check the spelling")
    folder = folder.resolve()
    root = next((root for prefix in PREFIXES if _holds_cases(root := folder / prefix)), None)
    if root is None:
        scans = len([*folder.glob("*.nii.gz"), *folder.glob("*.nii")])
        got = f"{scans} loose NIfTI files" if scans else "none of these"
        raise KitsError(f"{folder}: expected {_LAYOUT}; got {got}; move each scan to case_xxxxx/{IMAGE_NAME}")
    listed = next(_lists(root, folder), None)
    sums = _read_list(listed, root) if listed else Sums()
    bag = next((above.name for above in (root, *root.parents[:2]) if (above / _BAG).is_file()), None)
    source = FolderSource(root, sums.by_path, bag, (*sums.notes, *_absent_note(root, sums)))
    if not any((source.path / name / IMAGE_NAME).is_file() for name in source.cases()):
        raise KitsError(f"{folder}: expected {_LAYOUT}; got case folders without any {IMAGE_NAME}; add the scans")
    return source


def _holds_cases(folder: Path) -> bool:
    return any(entry.is_dir() for entry in folder.glob("case_*"))


def _lists(root: Path, folder: Path) -> Iterator[Path]:
    """Lists of checksums beside the cases, in the folder that was named, and in a bag whose payload was named."""
    places = [root, *(above for above in root.parents if above.is_relative_to(folder))]
    if folder.name == _PAYLOAD and (folder.parent / _BAG).is_file():
        places.append(folder.parent)
    yield from (file for place in places for name in SUMS_NAMES if (file := place / name).is_file())


def _read_list(file: Path, root: Path) -> Sums:
    try:
        text = decode(file.read_bytes())
    except OSError as error:
        raise KitsError(f"{file}: expected a list of checksums, got {error.strerror}; make it readable") from error
    below = root.relative_to(file.parent).as_posix()
    return read_sums(text, file.name, ("" if below == "." else f"{below}/", *PREFIXES))


def _absent_note(root: Path, sums: Sums) -> list[str]:
    absent = [path for path in sums.by_path if not (root / path).is_file()]
    if not absent:
        return []
    return [f"{len(absent)} listed files are not in the folder (the first is {absent[0]}); copy them again"]
