"""The official `dataset/` layout of KiTS19, 21 and 23, in a folder or below a URL."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from kits_core.errors import CaseError, KitsError, check_case_name
from kits_core.labels import Label
from kits_core.source.layout import Layout, Reading, stated_values
from kits_core.source.location import CaseLocations, Location
from kits_core.source.preset import CASES, phase_of
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

CASE_FOLDERS = f"folders case_00000, case_00001, ... with {IMAGE_NAME} and, if known, {SEGMENTATION_NAME}"
_BAG, _PAYLOAD = "bagit.txt", "data"


@dataclass(frozen=True)
class FolderSource:
    """A folder in the official layout.

    `sums`: hash by relative path from its `SHA256SUMS` or BagIt manifest, see `Sums`; empty without one. `bag`: the
    name of the BagIt bag whose payload it is. `is_kits23`: whether its records are those of all KiTS23 cases.
    """

    path: Path
    sums: Mapping[str, str] = field(default_factory=dict, repr=False)
    bag: str | None = None
    notes: tuple[str, ...] = ()
    values: Mapping[int, Label] | None = None
    is_kits23: bool = False

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

    @property
    def layout(self) -> str:
        """`kits`."""
        return LAYOUT.name

    def phase(self, case: str) -> str | None:
        """By KiTS23's rule where the folder is KiTS23; else None: a folder does not say."""
        return phase_of(case) if self.is_kits23 else None

    def _location(self, file: Path) -> Location:
        return _location(str(file), self.sums.get(file.relative_to(self.path).as_posix()))


@dataclass(frozen=True)
class HttpSource:
    """A URL whose root is in the official layout.

    `names`: its cases; `sums`: hash by relative path, see `Sums`, which then also tells the files that exist;
    `has_records`: whether `kits23.json` is there; `below`: where the cases lie below the URL. `is_kits23`: whether its
    records are those of all KiTS23 cases.
    """

    base_url: str
    names: tuple[str, ...]
    sums: Mapping[str, str] = field(default_factory=dict, repr=False)
    has_records: bool = False
    below: str = ""
    notes: tuple[str, ...] = ()
    values: Mapping[int, Label] | None = None
    is_kits23: bool = False

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

    @property
    def layout(self) -> str:
        """`kits`."""
        return LAYOUT.name

    def phase(self, case: str) -> str | None:
        """By KiTS23's rule where the URL is KiTS23's; else None: a URL does not say."""
        return phase_of(case) if self.is_kits23 else None

    def _location(self, relative: str, *, may_be_missing: bool = False) -> Location:
        address = f"{self.address}/{self.below}{relative}"
        return _location(address, self.sums.get(relative), may_be_missing=may_be_missing)


def _location(address: str, digest: str | None, *, may_be_missing: bool = False) -> Location:
    if digest is not None and len(digest) == SHA512_DIGITS:
        return Location(address, None, may_be_missing, digest)
    return Location(address, digest, may_be_missing)


def open_url(base: str, transfer: Transfer, reading: Reading) -> HttpSource:
    """The source below a URL, which is asked for its list of checksums and its records.

    Raises `KitsError` where neither names cases, and `TransferError` if the URL cannot be read.
    """
    values = stated_values(Path(httpx.URL(base).path), reading.labels)
    listed = ((name, _optional_text(f"{base}/{name}", transfer)) for name in SUMS_NAMES)
    sums = next((read_sums(text, name) for name, text in listed if text is not None), Sums())
    if sums.images:
        has_records = RECORDS_NAME in sums.by_path
        is_kits23 = has_records and sums.images == CASES
        return HttpSource(
            base, sums.images, sums.by_path, has_records, sums.prefix, sums.notes, values, is_kits23=is_kits23
        )
    records = _optional_text(f"{base}/{RECORDS_NAME}", transfer)
    if records is not None:
        found = parse_records(records, f"{base}/{RECORDS_NAME}")
        if found.entries:
            notes = (*sums.notes, *(str(problem) for problem in found.problems))
            names = tuple(sorted(found.entries))
            return HttpSource(
                base, names, sums.by_path, has_records=True, notes=notes, values=values, is_kits23=names == CASES
            )
    raise KitsError(
        f"{base}: expected {' or '.join(SUMS_NAMES)} or {RECORDS_NAME} there, naming cases{_but(sums.notes)}; "
        f"give the address of a folder in the official layout: {CASE_FOLDERS}"
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


def find(folder: Path, reading: Reading) -> FolderSource | None:
    """The source that a folder, or `dataset/` in it, is; None where there are no case folders.

    Raises `KitsError` for case folders without any image.
    """
    root = next((root for prefix in PREFIXES if _holds_cases(root := folder / prefix)), None)
    if root is None:
        return None
    listed = next(_lists(root, folder), None)
    sums = _read_list(listed, root) if listed else Sums()
    bag = next((above.name for above in (root, *root.parents[:2]) if (above / _BAG).is_file()), None)
    source = FolderSource(
        root,
        sums.by_path,
        bag,
        (*sums.notes, *_absent_note(root, sums)),
        stated_values(folder, reading.labels),
        _has_records_of_kits23(root),
    )
    if not any((source.path / name / IMAGE_NAME).is_file() for name in source.cases()):
        raise KitsError(f"{folder}: expected {CASE_FOLDERS}; got case folders without any {IMAGE_NAME}; add the scans")
    return source


def _has_records_of_kits23(root: Path) -> bool:
    """Whether the records are those of the 489 cases, so that what is known of KiTS23 holds for this folder."""
    try:
        found = parse_records(decode((root / RECORDS_NAME).read_bytes()), RECORDS_NAME)
    except (OSError, KitsError):  # the ingestion says what is wrong with them
        return False
    return tuple(sorted(found.entries)) == CASES


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


LAYOUT = Layout("kits", CASE_FOLDERS, find)
