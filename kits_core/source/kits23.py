"""The public KiTS23 data as a source."""

from dataclasses import dataclass, field

from kits_core.errors import CaseError, check_case_name
from kits_core.source.location import CaseLocations, Location
from kits_core.source.preset import CASES, NAME, Kits23Addresses, phase_of


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

    @property
    def layout(self) -> str:
        """`kits`."""
        return "kits"

    @property
    def values(self) -> None:
        """None: they are those of `Label`."""
        return None

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
