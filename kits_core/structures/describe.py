"""Describes a SEG or RTSTRUCT: its structures' names, and the series that they were drawn on."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.uid import UID, RTStructureSetStorage, SegmentationStorage

from kits_core.errors import CaseError
from kits_core.scan.guard import AGAIN, reading_dicom
from kits_core.structures.structure import Code, Kind, Named, Reference

_LABEL_MAP_SEGMENTATION = UID("1.2.840.10008.5.1.4.1.1.66.7")  # pydicom 3.0 has no name for it
_KINDS: dict[UID, Kind] = {
    SegmentationStorage: "seg",
    _LABEL_MAP_SEGMENTATION: "seg",
    RTStructureSetStorage: "rtstruct",
}

_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True)
class Description:
    """A file of structures, without their places. `named`: in the file's order; names may repeat.

    `maker`: who or what made it, as the file has it.
    """

    kind: Kind
    reference: Reference
    named: tuple[Named, ...]
    maker: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The structures' names, each once."""
        return tuple(dict.fromkeys(named.name for named in self.named))


def describe(path: Path) -> Description:
    """Kind, references and names of a DICOM SEG or RTSTRUCT; no pixels or contours are looked at.

    Raises `CaseError` naming the file for another kind of file, and for one that is cut off or broken.
    """
    with reading_dicom(str(path)):
        return description_of(open_structures(str(path), path))


def open_structures(case: str, path: Path) -> Dataset:
    """The data set of a SEG or RTSTRUCT, without pixels. Raises `CaseError` as `describe`."""
    data = dcmread(path, stop_before_pixels=True, force=True)
    if data.get("SOPClassUID") not in _KINDS:
        is_what = f"{data.get('Modality')} data" if data.get("Modality") else "none"
        raise CaseError(
            case,
            expected=f"a DICOM SEG or RTSTRUCT in {path.name}",
            got=is_what,
            next_step="name the file that holds the segmentation",
        )
    if _cut_off(data):
        raise broken(case, path, "a file that is cut off")
    return data


def broken(case: str, path: Path, got: str) -> CaseError:
    """The refusal of a file that contradicts itself or lacks what it must have."""
    return CaseError(case, expected=f"a whole segmentation in {path.name}", got=got, next_step=AGAIN)


def _cut_off(data: Dataset) -> bool:
    """Whether an element is shorter than it says: pydicom takes what is there of it, of a sequence the first items."""
    raws: list[Any] = [data.get_item(tag) for tag in data.keys()]  # noqa: SIM118 - iterating a data set converts its elements
    return any(
        isinstance(raw, RawDataElement) and raw.length != _UNDEFINED and len(raw.value or b"") < raw.length
        for raw in raws
    )


def description_of(data: Dataset) -> Description:
    """What a data set of `open_structures` says."""
    kind = _KINDS[data.SOPClassUID]
    named = _segments(data) if kind == "seg" else _regions(data)
    reference = _seg_reference(data) if kind == "seg" else _rtstruct_reference(data)
    return Description(kind, reference, tuple(named), text(data, "Manufacturer"))


def numbers_with_content(data: Dataset) -> set[int]:
    """The structures that have contours, or frames, without looking at these."""
    if _KINDS[data.SOPClassUID] == "rtstruct":
        drawn = (item for item in items(data, "ROIContourSequence") if item.get("ContourSequence"))
        return {int(item.ReferencedROINumber) for item in drawn}
    if data.get("SegmentationType") == "LABELMAP":  # only the pixels tell
        return {named.number for named in _segments(data)}
    shared = items(data, "SharedFunctionalGroupsSequence")
    groups = (*shared, *items(data, "PerFrameFunctionalGroupsSequence"))
    found = (item for group in groups for item in items(group, "SegmentIdentificationSequence"))
    return {int(item.ReferencedSegmentNumber) for item in found}


def items(data: Dataset, keyword: str) -> Iterable[Dataset]:
    """The items of a sequence, none where it is missing or empty."""
    return data.get(keyword) or ()


def text(data: Dataset, keyword: str) -> str:
    """A value without padding; empty where there is none."""
    return str(data.get(keyword) or "").strip(" \0")


def _segments(data: Dataset) -> Iterator[Named]:
    for item in items(data, "SegmentSequence"):
        number = int(item.SegmentNumber)
        codes = _codes(item, "SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence")
        yield Named(number, text(item, "SegmentLabel") or f"segment {number}", codes)


def _regions(data: Dataset) -> Iterator[Named]:
    codes: dict[int, tuple[Code, ...]] = {}
    for item in items(data, "RTROIObservationsSequence"):
        with suppress(AttributeError, TypeError, ValueError):
            codes[int(item.ReferencedROINumber)] = _codes(item, "RTROIIdentificationCodeSequence")
    for item in items(data, "StructureSetROISequence"):
        number = int(item.ROINumber)
        yield Named(number, text(item, "ROIName") or f"ROI {number}", codes.get(number, ()))


def _codes(item: Dataset, *keywords: str) -> tuple[Code, ...]:
    return tuple(
        Code(
            text(code, "CodeValue") or text(code, "LongCodeValue"),
            text(code, "CodingSchemeDesignator"),
            text(code, "CodeMeaning"),
        )
        for keyword in keywords
        for code in items(item, keyword)
    )


def _seg_reference(data: Dataset) -> Reference:
    series = [text(item, "SeriesInstanceUID") for item in items(data, "ReferencedSeriesSequence")]
    return Reference(text(data, "StudyInstanceUID"), _known(series), _known([text(data, "FrameOfReferenceUID")]))


def _rtstruct_reference(data: Dataset) -> Reference:
    frames, studies, series = [text(data, "FrameOfReferenceUID")], [], []
    for frame in items(data, "ReferencedFrameOfReferenceSequence"):
        frames.append(text(frame, "FrameOfReferenceUID"))
        for study in items(frame, "RTReferencedStudySequence"):
            studies.append(text(study, "ReferencedSOPInstanceUID"))
            series += [text(item, "SeriesInstanceUID") for item in items(study, "RTReferencedSeriesSequence")]
    frames += [text(item, "ReferencedFrameOfReferenceUID") for item in items(data, "StructureSetROISequence")]
    known = _known(studies)
    return Reference(known[0] if known else text(data, "StudyInstanceUID"), _known(series), _known(frames))


def _known(values: Iterable[Any]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
