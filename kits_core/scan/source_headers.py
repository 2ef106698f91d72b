"""The headers of a series as a DICOM SEG needs them. What cannot be copied is mended or left out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import DataElement, Dataset, dcmread
from pydicom.charset import convert_encodings
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag
from pydicom.valuerep import DA, TM, PersonName

from kits_core.errors import CaseError
from kits_core.scan.stack import Stack

AS_NIFTI = "write the labels as NIfTI"

_MUST_HAVE = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_PLACE = ("Modality", "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
_CHARACTER_SET = "SpecificCharacterSet"
_UTF8, _LATIN1 = "ISO_IR 192", "ISO_IR 100"
_CODE_EXTENSION = "ISO 2022"
_NAMES = ("PatientName", "PatientID", "StudyDescription", "ReferringPhysicianName")
_PATIENT_GROUPS = range(0x0010, 0x0013)
_COPIED_GROUPS = (0x0008, *_PATIENT_GROUPS, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040)
_COPIED_LOSSES = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def _text(value: Any) -> None:
    if not isinstance(value, str | PersonName):
        raise TypeError


_TYPE_2: dict[str, Callable[[Any], object]] = {
    "PatientID": _text,
    "PatientName": _text,
    "PatientBirthDate": DA,
    "PatientSex": hd.PatientSexValues,
    "AccessionNumber": _text,
    "StudyID": _text,
    "StudyDate": DA,
    "StudyTime": TM,
    "ReferringPhysicianName": _text,
}
"""Attributes that must be there and may be empty, and what raises for values that highdicom does not take.

Anonymised series lack some of them.
"""


def source_headers(case: str, stack: Stack) -> tuple[list[Dataset], list[str]]:
    """A data set for each slice, complete as a SEG needs it, and what was mended.

    The first one describes patient and study too. Its text is in a character set that can be written: the source's, or
    UTF-8 where that is unknown, contradicts the text, or switches between several (ISO 2022). The notes name
    attributes, never a patient's values. Raises `CaseError` for a slice that lacks an identifier to refer to.
    """
    sources = [_slice(case, header.path) for header in stack.slices]
    notes = _describe(sources[0], stack.slices[0].path)
    if _thickness(sources[0]) is None:
        sources[0].SliceThickness = float(np.linalg.norm(stack.affine[:3, 2]))  # type 2 too, and read as a number
    return sources, notes


def without_description(sources: list[Dataset]) -> list[Dataset]:
    """The same slices, with nothing of patient and study but the patient's id and name."""
    first = Dataset()
    for keyword in (*_MUST_HAVE, *_PLACE, "SliceThickness", "PatientID", "PatientName"):
        if keyword in sources[0]:
            first[keyword] = sources[0][keyword]
    for keyword in _TYPE_2:
        if keyword not in first:
            setattr(first, keyword, "")
    first.SpecificCharacterSet = _UTF8
    return [first, *sources[1:]]


def _slice(case: str, path: Path) -> Dataset:
    data = dcmread(path, stop_before_pixels=True, specific_tags=[*_MUST_HAVE, *_PLACE], force=True)
    for keyword in _MUST_HAVE:
        if not isinstance(data.get(keyword), str) or not data.get(keyword):
            raise CaseError(
                case,
                expected=f"{keyword} in every slice, which a DICOM SEG refers to",
                got=f"none in {path.name}",
                next_step=AS_NIFTI,
            )
    return data


def _describe(data: Dataset, path: Path) -> list[str]:
    """Copy what describes patient, study and acquisition from a file into `data`; what was mended."""
    whole = dcmread(path, stop_before_pixels=True, force=True)
    notes = _settle_character_set(whole)
    losses = {tag_for_keyword(keyword) for keyword in _COPIED_LOSSES}
    lost = []
    for tag in sorted(whole.keys()):
        wanted = tag.group in _COPIED_GROUPS or tag in losses
        if not wanted or tag in data:
            continue
        element = _sound(whole, tag)
        if element is not None:
            data.add(element)
        elif tag.group in _PATIENT_GROUPS or keyword_for_tag(tag) in _TYPE_2:
            lost.append(keyword_for_tag(tag) or str(tag))
    for keyword in _TYPE_2:
        if keyword not in data:
            setattr(data, keyword, "")
    _choose_character_set(data, whole)
    if lost:
        notes.append(f"DICOM SEG: {', '.join(lost)} left empty, as the series' values cannot be copied")
    return notes


def _sound(whole: Dataset, tag: BaseTag) -> DataElement | None:
    """An element that can be read, is what its attribute must be, and can be written; None for another."""
    try:
        element = whole[tag]
        if not element.tag.is_private and (element.VR == "SQ") != (dictionary_VR(tag) == "SQ"):
            return None
        _read_through(element)
        check = _TYPE_2.get(element.keyword)
        if check is not None and not element.is_empty:
            if isinstance(element.value, MultiValue):
                element = DataElement(tag, element.VR, element.value[0])
            check(element.value)
        file = DicomBytesIO()
        file.is_little_endian, file.is_implicit_VR = True, False
        write_data_element(file, element, ["utf8"])
    except Exception:  # noqa: BLE001 - whatever pydicom raises on odd bytes, the element is not copied
        return None
    return element


def _read_through(element: DataElement) -> None:
    """Read the items of sequences too: what nobody has read is written as its bytes, in whatever character set."""
    if element.VR == "SQ":
        for item in element.value:
            for inner in item:
                _read_through(inner)


def _settle_character_set(data: Dataset) -> list[str]:
    """Read text beyond ASCII for which no character set is stated as UTF-8 where it can be that, else as Latin-1."""
    if data.get(_CHARACTER_SET):
        return []
    stored = b"".join(
        element.value
        for keyword in _NAMES
        if keyword in data and isinstance((element := data.get_item(keyword)).value, bytes)
    )
    if stored.isascii():
        return []
    try:
        stored.decode("utf-8")
        meant = _UTF8
    except UnicodeDecodeError:
        meant = _LATIN1
    data.SpecificCharacterSet = meant
    implicit, little_endian = data.original_encoding
    data.set_original_encoding(implicit, little_endian, convert_encodings(meant))
    return [f"DICOM SEG: text without a character set is read as {meant}"]


def _choose_character_set(data: Dataset, whole: Dataset) -> None:
    stated = whole.get(_CHARACTER_SET)
    try:
        plain = isinstance(stated, str) and not stated.startswith(_CODE_EXTENSION)
        data.SpecificCharacterSet = hd.SpecificCharacterSetValues(stated).value if plain else _UTF8
    except ValueError:
        data.SpecificCharacterSet = _UTF8


def _thickness(data: Dataset) -> float | None:
    try:
        thickness = float(data.SliceThickness)
    except (AttributeError, TypeError, ValueError):
        return None
    return thickness if np.isfinite(thickness) and thickness > 0 else None
