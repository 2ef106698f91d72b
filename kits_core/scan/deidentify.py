"""DICOM's Basic Application Level Confidentiality Profile, for what this project writes as DICOM.

Actions are those of DICOM PS3.15, table E.1-1, column "Basic Prof.": X removes, Z empties, D puts a dummy in place, U
puts another UID in place, the same wherever the original stands. A segmentation is made of its sources' identifiers and
places alone, so what else the table lists is not in it; the attributes here are all of the table that highdicom writes.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydicom import DataElement, Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.sr.coding import Code

from kits_core.scan.header import BROKEN
from kits_core.scan.identity import readable_name

D = TypeVar("D", bound=Dataset)

_REMOVED = (
    *("InstanceCreationDate", "InstanceCreationTime", "SeriesDate", "SeriesTime", "SeriesDescription"),
    *("AcquisitionDate", "AcquisitionTime", "StudyDescription", "PatientAge", "PatientWeight", "PatientSize"),
    *("InstitutionName", "StationName", "OperatorsName", "ProtocolName", "TimezoneOffsetFromUTC"),
)
_EMPTIED = (
    *("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID"),
    *("ReferringPhysicianName", "ContentCreatorName"),
)
_DUMMIES = {"ContentDate": "19000101", "ContentTime": "000000"}
_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_METHOD = "DICOM PS3.15 Basic Profile; UIDs by keyed hash"
_PROFILE = Code("113100", "DCM", "Basic Application Confidentiality Profile")

_TELLING = {"PN", "LO", "SH", "ST", "LT", "UT", "DA", "DT"}
"""Value representations that may identify a patient."""
_TELLING_GROUPS = {0x0008, 0x0010, 0x0012, 0x0020, 0x0032, 0x0038, 0x0040}
_HARMLESS = {"Modality", "Manufacturer", "SpecificCharacterSet", "CodeValue", "CodingSchemeDesignator", "CodeMeaning"}
_LEAST_LETTERS = 4
"""Shorter values are words and numbers that occur in any text."""


@dataclass(frozen=True)
class Hidden:
    """How a file is de-identified: the patient's pseudonym, and the function that replaces a UID."""

    patient: str
    uid: Callable[[str], str]


def hide_sources(sources: list[Dataset], hidden: Hidden) -> list[Dataset]:
    """Slices for a DICOM SEG to refer to, `without_description`: their UIDs are others, and the patient is a pseudonym.

    The data sets are changed in place.
    """
    for data in sources:
        for keyword in _UIDS:
            setattr(data, keyword, hidden.uid(str(data[keyword].value)))
    sources[0].PatientName = sources[0].PatientID = hidden.patient
    return sources


def apply_basic_profile(data: D) -> D:
    """Remove, empty or replace what may tell who or when, sequences included, and say so; changes `data` itself.

    UIDs of sources are others already (`hide_sources`), those of the file itself are new.
    """
    for part in _parts(data):
        for keyword in _REMOVED:
            if keyword in part:
                del part[keyword]
        for keyword in _EMPTIED:
            if keyword in part:
                setattr(part, keyword, "")
        for keyword, dummy in _DUMMIES.items():
            if keyword in part:
                setattr(part, keyword, dummy)
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = _METHOD
    method = Dataset()
    method.CodeValue, method.CodingSchemeDesignator, method.CodeMeaning = _PROFILE[:3]
    data.DeidentificationMethodCodeSequence = [method]
    data.LongitudinalTemporalInformationModified = "REMOVED"
    return data


def series_uid_of(file: Path) -> str:
    """The SeriesInstanceUID of a DICOM file; empty where there is none."""
    with suppress(OSError, *BROKEN), disable_value_validation():
        data = dcmread(file, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"], force=True)
        return str(data.get("SeriesInstanceUID") or "")
    return ""


def telling_texts(file: Path) -> tuple[str, ...]:
    """What the header of a DICOM file says of patient, study and hospital: texts that must not be shown.

    Names as they are stored, as people read them, and their parts. Empty for what cannot be read.
    """
    found: dict[str, None] = {}
    with suppress(OSError, LookupError, *BROKEN), disable_value_validation():
        data = dcmread(file, stop_before_pixels=True, force=True)
        for element in data.iterall():
            with suppress(LookupError, *BROKEN):
                found |= dict.fromkeys(_texts(element))
    return tuple(found)


def _texts(element: DataElement) -> Iterator[str]:
    if element.VR not in _TELLING or element.tag.group not in _TELLING_GROUPS or element.keyword in _HARMLESS:
        return
    values = element.value if element.VM > 1 else [element.value]
    for value in map(str, values):
        parts = [value, readable_name(value), *value.replace("=", "^").split("^")] if element.VR == "PN" else [value]
        yield from (part.strip() for part in parts if len(part.strip()) >= _LEAST_LETTERS)


def _parts(data: Dataset) -> Iterator[Dataset]:
    """A data set and the items of all its sequences."""
    yield data
    for element in data:
        if element.VR == "SQ":
            for item in element.value:
                yield from _parts(item)
