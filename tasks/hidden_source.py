"""A source that shows its cases and its address under pseudonyms only. Files come from the real address."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from kits_core.labels import Label
from kits_core.source.location import CaseLocations, Location, Source
from kits_core.source.selection import choose
from tasks.log import scrub
from tasks.names import hide, hide_path, pseudonyms, scrubbed_errors

_USUAL_NAMES = frozenset(
    {
        *("images", "masks", "labels", "scans", "segmentations", "imaging", "segmentation", "dataset", "data"),
        *("imagestr", "labelstr", "imagests", "labelsts", "dicom", "series"),
    }
)
"""Names of folders and files in the layouts: they identify nobody, and occur in our own texts."""
CASE = "case"
"""The kind of the pseudonyms of cases."""


class HiddenSource:
    """See `Source`. From now on logs and errors name neither it nor its cases."""

    def __init__(self, source: Source, dataset: str | None) -> None:
        """`dataset`: its name in the catalog, with which its cases have their pseudonyms; None takes `name`."""
        self._source = source
        self.address = hide(source.address) if "://" in source.address else hide_path(source.address)
        self._names = {hidden_case(dataset or self.address, case): case for case in source.cases()}

    @property
    def name(self) -> str:
        """Its pseudonym, because a folder is often named after a patient."""
        return self.address

    @property
    def revision(self) -> str | None:
        """See `Source`."""
        return self._source.revision

    @property
    def notes(self) -> tuple[str, ...]:
        """See `Source`."""
        return tuple(map(scrub, self._source.notes))

    @property
    def layout(self) -> str:
        """See `Source`."""
        return self._source.layout

    @property
    def values(self) -> Mapping[int, Label] | None:
        """See `Source`."""
        return self._source.values

    def cases(self) -> tuple[str, ...]:
        """Pseudonyms, sorted."""
        return tuple(sorted(self._names))

    def choose(self, cases: str | None) -> tuple[str, ...]:
        """The pseudonyms of the cases that a selection of real names chooses; see `selection.choose`."""
        chosen = set(choose(self._names.values(), cases))
        return tuple(sorted(name for name, case in self._names.items() if case in chosen))

    def locate(self, case: str) -> CaseLocations:
        """Where the files of the case with a pseudonym are. Raises `CaseError`, which names the pseudonym."""
        with scrubbed_errors(case):
            found = self._source.locate(self._names[case])
            self._scrub_names_of_files(found, case)
            return replace(found, case=case, patient=hidden_patient(found.patient) if found.patient else None)

    def _scrub_names_of_files(self, found: CaseLocations, case: str) -> None:
        """Folders and files of a hospital are often named after patients."""
        for location in (found.image, found.segmentation):
            files = location.dicom.files if location is not None and location.dicom is not None else ()
            for path in {location.address, *files} if location is not None else ():
                *folders, file = Path(path).parts[len(Path(self._source.address).parts) :] or ("",)
                for name in folders:
                    if name.casefold() not in _USUAL_NAMES:
                        scrub.add(name, case)
                for name in (file, file.partition(".")[0]):
                    if name and name.casefold() not in _USUAL_NAMES:
                        scrub.add_file(name, case)

    def clinical(self) -> Location | None:
        """See `Source`."""
        return self._source.clinical()

    def phase(self, case: str) -> str | None:
        """See `Source`."""
        return self._source.phase(self._names[case])


def hidden_patient(text: str) -> str:
    """The pseudonym of a patient's id."""
    return pseudonyms().of("patient", text, **{"patient ID": text})


def hidden_case(dataset: str, case: str) -> str:
    """The pseudonym of a case of a dataset; its real name is scrubbed from now on."""
    pseudonym = pseudonyms().of(CASE, dataset, case, dataset=dataset, case=case)
    scrub.add(case, pseudonym)
    return pseudonym
