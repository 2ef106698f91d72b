"""A segmentation as DICOM SEG, which viewers lay over the series that it was made from."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.config import disable_value_validation
from pydicom.sr.codedict import codes

from kits_core.errors import CaseError
from kits_core.files import written_aside
from kits_core.geometry.volume import Affine
from kits_core.labels import Label
from kits_core.scan.dicom import stack_of
from kits_core.scan.find import Scan
from kits_core.scan.header import BROKEN
from kits_core.scan.stack import Stack
from kits_core.scan.tilt import grid_of, slices_of

_CODES = {
    Label.KIDNEY: ("Kidney", codes.SCT.AnatomicalStructure, codes.SCT.Kidney),
    Label.TUMOR: ("Tumour", codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm),
    Label.CYST: ("Cyst", codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Cyst),
}
"""Name, category and type of each segment, in SNOMED CT."""
_AS_NIFTI = "write the labels as NIfTI"
_MAKER = "kits-platform"
_MUST_HAVE = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate"),
    *("StudyTime", "ReferringPhysicianName"),
)
"""Type 2 attributes, of which anonymised series lack some: empty is allowed, absent is not."""
_SERIES_NUMBER = 900  # past those of scanners, so that archives list it last
_SAME_PLACE_MM = 0.01


def write_dicom_seg(
    path: Path, labels: NDArray[np.uint8], affine: Affine, scan: Scan, *, algorithm: str, version: str
) -> None:
    """Write `labels` as a binary DICOM SEG under `path`, whole or not at all.

    `labels`: uint8 with values of `Label`, on the grid of `read_scan(scan).volume`; `affine`: that grid's. `scan`: of
    kind `dicom`, its files still there. One segment for each label that is present, and a reference to the slice that
    each frame lies on. Labels of a scan whose gantry tilt was taken out go back onto the tilted slices, by the nearest
    pixel. `algorithm`, `version`: what made it. Raises `CaseError` for a scan that is no DICOM, labels on another grid,
    values that `Label` has not, labels that are all empty, and a series that lacks an identifier to refer to.
    """
    if scan.kind != "dicom":
        raise CaseError(scan.name, expected="a DICOM series to refer to", got="a NIfTI file", next_step=_AS_NIFTI)
    stack = stack_of(scan)
    _check_grid(scan.name, labels, affine, stack)
    frames, present = _numbered(scan.name, labels, stack)
    with _quiet():
        sources = _sources(scan.name, stack)
        try:
            segmentation = _segmentation(sources, frames, present, algorithm, version)
        except BROKEN as error:
            raise CaseError(
                scan.name, expected="headers that a DICOM SEG can copy", got=str(error), next_step=_AS_NIFTI
            ) from error
        with written_aside(path, suffix=".dcm") as aside:
            segmentation.save_as(aside)


def _segmentation(
    sources: list[Dataset], frames: NDArray[np.uint8], present: list[Label], algorithm: str, version: str
) -> hd.seg.Segmentation:
    return hd.seg.Segmentation(
        source_images=sources,
        pixel_array=frames,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _description(number, label, algorithm, version) for number, label in enumerate(present, start=1)
        ],
        series_instance_uid=hd.UID(),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=algorithm,
        software_versions=version,
        device_serial_number="none",
        series_description=f"{algorithm} segmentation",
    )


def _check_grid(case: str, labels: NDArray[np.uint8], affine: Affine, stack: Stack) -> None:
    shape, expected = grid_of(stack)
    step = "give the labels on the grid of read_scan"
    if labels.shape != shape:
        raise CaseError(case, expected=f"labels of shape {shape}", got=f"{labels.shape}", next_step=step)
    corners = np.array([[0, 0, 0, 1], [shape[0], 0, 0, 1], [0, shape[1], 0, 1], [0, 0, shape[2], 1]])
    apart = float(np.abs(corners @ (np.asarray(affine) - expected).T).max())
    if not apart <= _SAME_PLACE_MM:
        raise CaseError(case, expected="labels in the place of the series", got=f"{apart:.2f} mm apart", next_step=step)


def _numbered(case: str, labels: NDArray[np.uint8], stack: Stack) -> tuple[NDArray[np.uint8], list[Label]]:
    """Frames `(slice, row, column)` with the number of a segment in each pixel, and the label of segment 1, 2, ..."""
    if (most := int(labels.max())) > max(Label):
        raise CaseError(
            case, expected="labels 0, 1, 2 and 3", got=f"also {most}", next_step="give the labels of a model"
        )
    present = [label for label in _CODES if (labels == label).any()]
    numbers = np.zeros(len(Label), np.uint8)
    numbers[present] = np.arange(1, len(present) + 1)  # DICOM counts segments from 1 without gaps
    frames = np.stack([numbers[part] for part in slices_of(labels, stack)])
    if not frames.any():
        raise CaseError(
            case,
            expected="a kidney, tumour or cyst in the labels",
            got="none",
            next_step="there is nothing to write as DICOM SEG; look at the scan",
        )
    return frames, present


def _sources(case: str, stack: Stack) -> list[Dataset]:
    """The headers of the slices, complete as a SEG needs them."""
    sources: list[Dataset] = []
    for header in stack.slices:
        data = dcmread(header.path, stop_before_pixels=True, force=True)
        for tag in _MUST_HAVE:
            if not data.get(tag):
                raise CaseError(
                    case,
                    expected=f"{tag} in every slice, which a DICOM SEG refers to",
                    got=f"none in {header.path.name}",
                    next_step=_AS_NIFTI,
                )
        for tag in _MAY_BE_EMPTY:
            if tag not in data:
                setattr(data, tag, "")
        if data.get("SliceThickness") in (None, ""):
            data.SliceThickness = float(np.linalg.norm(stack.affine[:3, 2]))  # type 2 too, and read as a number
        sources.append(data)
    return sources


def _description(number: int, label: Label, algorithm: str, version: str) -> hd.seg.SegmentDescription:
    name, category, kind = _CODES[label]
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=algorithm, version=version, family=codes.DCM.ArtificialIntelligence
        ),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Hospitals' headers break small rules; what is copied from them is not ours to correct."""
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
