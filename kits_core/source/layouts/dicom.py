"""A tree of DICOM files: CT series, and what was drawn on them as DICOM SEG or RTSTRUCT, matched by reference."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kits_core.case_names import check_name, cleaned
from kits_core.errors import CaseError, KitsError
from kits_core.label_map import LabelMap
from kits_core.scan.find import Scan
from kits_core.scan.header import Header, looks_like_dicom, read_header
from kits_core.scan.identity import MAKER, Identity, identity_of
from kits_core.scan.series import Series
from kits_core.source.layout import Layout, ListedSource, Reading
from kits_core.source.location import CaseLocations, DicomFiles, Location

if TYPE_CHECKING:
    from kits_core.structures import Description

_DRAWN = ("SEG", "RTSTRUCT")
_UID_DIGITS = 8


@dataclass(frozen=True)
class _Tree:
    """A folder's content. `drawn`: by series, the files that were drawn on it. `broken`: why files cannot be read."""

    series: Mapping[str, Series]
    drawn: Mapping[str, Sequence[Path]]
    broken: Mapping[Path, str]


def find(folder: Path, reading: Reading) -> ListedSource | None:
    """The source that a folder is: a case for each CT series that something was drawn on, or that stands alone.

    A case is called by its patient's id, the study's date and the series' number. Raises `KitsError` for DICOM files
    without a CT series among them.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and _is_dicom(path)]
    if not files:
        return None
    tree, notes = _tree(files)
    if not tree.series:
        raise KitsError(f"{folder}: expected a CT series among the DICOM files, got {len(files)} others; add the scans")
    by_study: dict[str, list[Series]] = defaultdict(list)
    for one in tree.series.values():
        by_study[one.headers[0].study].append(one)
    chosen: list[Series] = []
    found: dict[str, CaseLocations | CaseError] = {}
    for study in by_study.values():
        cases, left_out = _chosen(study, tree)
        chosen += cases
        if left_out:
            notes.append(f"{len(left_out)} CT series beside one that was drawn on are left out, as {left_out[0].line}")
        if not cases:
            name = _name(_who(folder, study[0]), with_series=False)
            found[name] = CaseError(
                name,
                expected="one CT series in the study, or a SEG or RTSTRUCT that names one",
                got=f"{len(study)}: {'; '.join(one.line for one in study)}",
                next_step="move the others to another folder",
            )
    for name, one in _named(folder, chosen).items():
        try:
            found[name] = _located(folder, check_name(name), one, tree, reading.labels)
        except CaseError as error:
            found[error.case] = error
    return ListedSource(folder, LAYOUT.name, found, None, tuple(notes))


def _is_dicom(path: Path) -> bool:
    try:
        return looks_like_dicom(path)
    except OSError:
        return False


def _tree(files: Iterable[Path]) -> tuple[_Tree, list[str]]:
    from kits_core.structures import describe  # noqa: PLC0415 - a second, which folders of other layouts need not wait for

    headers: dict[str, list[Header]] = defaultdict(list)
    broken: dict[Path, str] = {}
    said: dict[Path, Description] = {}
    for path in files:
        try:
            header = read_header(path)
            if header is not None and header.modality in _DRAWN:
                said[path] = describe(path)
            elif header is not None:
                headers[header.series].append(header)
        except (OSError, ValueError) as error:
            broken[path] = str(error)
        except CaseError as error:
            broken[path] = error.got
    every = {uid: Series(uid, tuple(of_it)) for uid, of_it in headers.items()}
    series = {uid: one for uid, one in every.items() if one.is_choice}
    drawn, notes = _matched(said, series)
    return _Tree(series, drawn, broken), notes


def _matched(
    said: Mapping[Path, "Description"], series: Mapping[str, Series]
) -> tuple[dict[str, list[Path]], list[str]]:
    """What was drawn on each series: by the series that a file names, else by the frame of reference."""
    drawn: dict[str, list[Path]] = defaultdict(list)
    notes = []
    for path, description in said.items():
        if description.maker == MAKER:
            notes.append(f"{path.name}: a prediction of kits, no reference; kits correct takes one that was corrected")
            continue
        reference = description.reference
        targets = [uid for uid in reference.series if uid in series]
        if not reference.series:
            frames = reference.frames_of_reference
            targets = [uid for uid, one in series.items() if one.headers[0].frame_of_reference in frames]
        for uid in targets:
            drawn[uid].append(path)
        if not targets:
            named = ", ".join(reference.series) or "that it does not name"
            notes.append(f"{path.name}: drawn on a series that is not here, {named}")
    return drawn, notes


def _chosen(study: Sequence[Series], tree: _Tree) -> tuple[list[Series], list[Series]]:
    """Which series of a study are cases, and which are left out beside them; neither where none can be chosen."""
    marked = [one for one in study if one.uid in tree.drawn]
    if marked:
        return marked, [one for one in study if one.uid not in tree.drawn]
    return (list(study), []) if len(study) == 1 else ([], [])


def _located(folder: Path, name: str, one: Series, tree: _Tree, labels: LabelMap) -> CaseLocations:
    files = tuple(str(header.path) for header in one.headers)
    places = {header.path.parent for header in one.headers}
    for path, reason in tree.broken.items():
        if path.parent in places:
            raise CaseError(
                name, expected="DICOM files that can be read beside its own", got=f"{path}: {reason}",
                next_step="export the series again, or delete the file",
            )  # fmt: skip
    drawn = tree.drawn.get(one.uid, [])
    if len(drawn) > 1:
        raise CaseError(
            name, expected="one SEG or RTSTRUCT of its series", got=", ".join(path.name for path in drawn),
            next_step="keep the one that counts",
        )  # fmt: skip
    place = str(one.headers[0].path.parent)
    image = Location(place, form="dicom", dicom=DicomFiles(files, one.uid))
    masks = [Location(str(path), form="dicom", dicom=DicomFiles(files, one.uid, str(path), labels)) for path in drawn]
    return CaseLocations(name, image, masks[0] if masks else None, _who(folder, one).patient_id or None)


def _named(folder: Path, chosen: Sequence[Series]) -> dict[str, Series]:
    """Series by the name of their case. Names that several have are told apart by their UIDs' last digits."""
    names = [_name(_who(folder, one)) for one in chosen]
    counts = Counter(names)
    return {
        name if counts[name] == 1 else f"{name} {one.uid[-_UID_DIGITS:]}": one
        for name, one in zip(names, chosen, strict=True)
    }


def _who(folder: Path, one: Series) -> Identity:
    return identity_of(Scan("series", folder, "dicom", (one.headers[0].path,), one.uid))


def _name(who: Identity, *, with_series: bool = True) -> str:
    parts = (who.patient_id, who.study_date, who.series_number if with_series else "")
    return cleaned(" ".join(part for part in parts if part)) or who.series_uid


LAYOUT = Layout(
    "dicom",
    "DICOM files with a CT series among them, and SEG or RTSTRUCT files that name the series they were drawn on",
    find,
    order=1,
)
