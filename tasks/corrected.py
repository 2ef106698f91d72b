"""Puts references that people corrected in place of a source's own (`kits_core.corrections`)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from db.models import Case, FileKind
from db.settings import current_settings
from kits_core.case_names import folder_name
from kits_core.corrections import Overlay, corrected_cases, once_corrected_cases
from kits_core.source.location import CaseLocations


@dataclass(frozen=True)
class Corrections:
    """Of the cases of a dataset, by name. `overlays`: those that have a corrected reference.

    `masks`: SHA-256 of all corrected masks that a case has or had. `of_plans`: cases that were made of plans, which no
    source has.
    """

    overlays: Mapping[str, Overlay]
    masks: Mapping[str, set[str]]
    of_plans: frozenset[str]

    def over(self, located: Iterable[CaseLocations]) -> list[CaseLocations]:
        """What a source has, the corrected references in place of its own."""
        return [
            replace(one, segmentation=self.overlays[one.case].location()) if one.case in self.overlays else one
            for one in located
        ]

    def remarks(self, located: Iterable[CaseLocations], known: Mapping[str, Case]) -> list[str]:
        """For people: how many cases have a corrected reference, and which were corrected on an older image."""
        cases = [one.case for one in located if one.case in self.overlays]
        notes = [f"{len(cases)} cases have corrected references"] if cases else []
        for case in cases:
            note, image = self.overlays[case].read_note(), known[case].file(FileKind.IMAGE)
            if note and image and note.image_sha256 not in (None, image.sha256):
                notes.append(f"{case}: its reference was corrected on an earlier version of its scan; look at it again")
        return notes


def corrections_of(dataset: str, cases: Iterable[str]) -> Corrections:
    """The corrected references of those of the `cases` that have one."""
    folder = current_settings().corrections / dataset
    there, once = corrected_cases(folder), once_corrected_cases(folder)
    overlays = {case: Overlay(folder, case) for case in cases if folder_name(case) in once}
    return Corrections(
        {case: overlay for case, overlay in overlays.items() if folder_name(case) in there},
        {case: overlay.hashes() for case, overlay in overlays.items()},
        frozenset(case for case, overlay in overlays.items() if any(note.scan for note in overlay.notes())),
    )
