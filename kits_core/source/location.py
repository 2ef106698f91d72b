"""Where a case's files are, and the protocol of a source, which knows that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from kits_core.label_map import LabelMap
from kits_core.labels import Label

Form = Literal["nifti", "itk", "dicom"]
"""How a file is read: as NIfTI; or by ITK (NRRD, MetaImage), or as DICOM, of which a NIfTI is made when it comes in."""


@dataclass(frozen=True)
class DicomFiles:
    """A CT series, and what was drawn on it. `files`: the series' slices, paths. `series`: its SeriesInstanceUID.

    `drawn`: the DICOM SEG or RTSTRUCT whose structures are wanted; None wants the scan. `labels`: what names mean.
    """

    files: tuple[str, ...]
    series: str
    drawn: str | None = None
    labels: LabelMap = field(default_factory=LabelMap)


@dataclass(frozen=True)
class Location:
    """One file: a URL or a path, with the SHA-256 or SHA-512 that the source states for it.

    `may_be_missing`: the source does not say whether the file exists, so that a 404 is an answer and no fault. `dicom`:
    the files, of what is read as DICOM. `notes`: what of it a reader should know, for people.
    """

    address: str
    sha256: str | None = None
    may_be_missing: bool = False
    sha512: str | None = None
    form: Form = "nifti"
    dicom: DicomFiles | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaseLocations:
    """Where one case's files are. Without a segmentation it is a case to predict.

    `patient`: whose scan it is, if the files say so. A split keeps all scans of a patient on one side.
    """

    case: str
    image: Location
    segmentation: Location | None
    patient: str | None = None


class Source(Protocol):
    """Where cases come from. Its methods are cheap: it learns everything when it is opened."""

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

    @property
    def layout(self) -> str:
        """How its files lie: the name of a layout of `kits_core.source.layouts`."""

    @property
    def values(self) -> Mapping[int, Label] | None:
        """What the values of its segmentations mean; None where they are those of `Label`."""

    def cases(self) -> tuple[str, ...]:
        """Sorted names of the cases it has."""

    def locate(self, case: str) -> CaseLocations:
        """Where a case's files are. Raises `CaseError` if it has no such case or no image for it."""

    def clinical(self) -> Location | None:
        """Where the clinical records are; None without any."""

    def phase(self, case: str) -> str | None:
        """Contrast phase where the source's makers told it."""
