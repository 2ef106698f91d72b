"""Whose scan it is, and which: what a person checks before reading on."""

import hashlib
import warnings
from dataclasses import dataclass

from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation

from kits_core.files import sha256_of
from kits_core.scan.find import Scan
from kits_core.scan.header import BROKEN

MAKER = "kits-platform"
"""The maker that our SEG files name: it tells a prediction from a person's drawing."""
_TAGS = ["SpecificCharacterSet", "PatientName", "PatientID", "StudyDate", "SeriesDescription", "SeriesNumber"]


@dataclass(frozen=True)
class Identity:
    """Texts for people; empty where the scan does not say. A pseudonym goes into `patient` and `patient_id`.

    `study_date`: as 2024-03-01, or as the header has it if it is no date. `series_uid`: SeriesInstanceUID;
    `series_number`: SeriesNumber, within the study. `file`: name of a NIfTI file.
    """

    patient: str = ""
    patient_id: str = ""
    study_date: str = ""
    series: str = ""
    series_uid: str = ""
    series_number: str = ""
    file: str = ""

    @property
    def facts(self) -> dict[str, str]:
        """The known facts by their names for people. For a DICOM series it also says which are not stated."""
        if self.file:
            return {"File": self.file}
        named = {
            "Patient": self.patient,
            "Patient ID": self.patient_id,
            "Study date": self.study_date,
            "Series": self.series,
        }
        return {name: text or "not stated" for name, text in named.items()} if any(named.values()) else {}

    @property
    def line(self) -> str:
        """What is known in one line, for a title; empty where nothing is."""
        known = (self.patient, self.patient_id, self.study_date, self.series, self.file)
        return " · ".join(dict.fromkeys(text for text in known if text))  # a pseudonym stands for name and id


def identity_of(scan: Scan) -> Identity:
    """Of a file its name; of a DICOM series what the header of its first file says.

    What cannot be read or decoded is left empty: nobody's plan fails for it.
    """
    if scan.kind != "dicom":
        return Identity(file=scan.path.name)
    try:
        with disable_value_validation(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # for unknown character sets and invalid dates
            data = dcmread(scan.files[0], stop_before_pixels=True, specific_tags=_TAGS, force=True)
            return Identity(
                patient=readable_name(_text(data, "PatientName")),
                patient_id=_text(data, "PatientID"),
                study_date=_date(_text(data, "StudyDate")),
                series=_text(data, "SeriesDescription"),
                series_uid=scan.series_uid or "",
                series_number=_text(data, "SeriesNumber"),
            )
    except (OSError, LookupError, *BROKEN):
        return Identity(series_uid=scan.series_uid or "")


def scan_sha256(scan: Scan) -> str:
    """SHA-256 of a scan's file; of the slices' hashes where there are many."""
    hashes = [sha256_of(path) for path in scan.files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest()


def _text(data: Dataset, tag: str) -> str:
    try:
        return " ".join(str(data.get(tag) or "").split())
    except (LookupError, *BROKEN):
        return ""


def readable_name(text: str) -> str:
    """`Yamada^Tarou=山田^太郎` as `Yamada, Tarou (山田, 太郎)`: family name first, then all others."""
    groups = []
    for group in text.split("="):
        family, *others = (part.strip() for part in group.split("^"))
        given = " ".join(part for part in others if part)
        if family or given:
            groups.append(", ".join(part for part in (family, given) if part))
    return groups[0] + (f" ({', '.join(groups[1:])})" if groups[1:] else "") if groups else ""


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if len(text) == 8 and text.isdecimal() else text
