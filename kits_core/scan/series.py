"""The DICOM series below a folder, and which of them is the scan that is meant."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kits_core.errors import CaseError
from kits_core.scan.header import Header, looks_like_dicom, read_header

_LEAST_SLICES = 4
"""Localizers ("scouts") are one to three pictures; no CT that can be segmented has so few."""


@dataclass(frozen=True)
class Series:
    """The files of one series, in the order of their names."""

    uid: str
    headers: tuple[Header, ...]

    @property
    def slices(self) -> int:
        """Number of pictures: files, or frames where a file holds several."""
        return sum(header.frames for header in self.headers)

    @property
    def is_choice(self) -> bool:
        """Whether this can be the CT that is meant: CT, no localizer, and at least four slices."""
        first = self.headers[0]
        return first.modality == "CT" and self.slices >= _LEAST_SLICES and not first.localizer

    @property
    def line(self) -> str:
        """For a user who has to choose: `1.2.3 "Abdomen 2.0" CT, 83 slices`."""
        first = self.headers[0]
        return f'{self.uid} "{first.description}" {first.modality or "no modality"}, {self.slices} slices'


def series_below(folder: Path) -> tuple[Series, ...]:
    """Every DICOM series of a folder and the folders in it; DICOMDIR and other files are passed over.

    Raises `CaseError` naming a file that is marked as DICOM but cannot be read: without it, a slice would be missing.
    """
    return group(path for path in sorted(folder.rglob("*")) if path.is_file() and looks_like_dicom(path))


def group(paths: Iterable[Path]) -> tuple[Series, ...]:
    """DICOM files by the series that they name. Raises `CaseError` as `series_below`."""
    found: dict[str, list[Header]] = {}
    for path in paths:
        try:
            header = read_header(path)
        except (OSError, ValueError) as error:
            raise CaseError(
                str(path),
                expected="a DICOM file",
                got=str(error),
                next_step="export the series again, or delete the file",
            ) from error
        if header is not None:
            found.setdefault(header.series, []).append(header)
    return tuple(Series(uid, tuple(headers)) for uid, headers in found.items())


def choose(case: str, found: Sequence[Series], uid: str | None) -> Series:
    """The one of at least one series that is meant: `uid`, or the only one that can be meant.

    Beside a usable CT, a series that is no CT, is a localizer or has fewer than four slices is ignored. Alone, it is
    returned, so that reading it says what is wrong. Raises `CaseError` with a list of all otherwise.
    """
    listed = "; ".join(series.line for series in found)
    if uid is not None:
        if chosen := next((series for series in found if series.uid == uid), None):
            return chosen
        raise CaseError(
            case, expected=f"the series {uid}", got=listed, next_step="choose one of these with --series UID"
        )
    if len(found) == 1:
        return found[0]
    choices = [series for series in found if series.is_choice]
    if len(choices) == 1:
        return choices[0]
    raise CaseError(
        case,
        expected="one CT series",
        got=f"{len(choices) or 'none'} among {len(found)} series: {listed}",
        next_step="choose with --series UID, or name the folder of one series",
    )
