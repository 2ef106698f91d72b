"""A segmentation as DICOM SEG, which viewers lay over the series that it was made from."""

from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes

from kits_core.errors import CaseError
from kits_core.files import written_aside
from kits_core.geometry.volume import Affine
from kits_core.labels import Label
from kits_core.scan.deidentify import Hidden, apply_basic_profile, hide_sources
from kits_core.scan.dicom import stack_of
from kits_core.scan.find import Scan
from kits_core.scan.guard import reading_dicom
from kits_core.scan.identity import MAKER
from kits_core.scan.source_headers import AS_NIFTI, source_headers, without_description
from kits_core.scan.stack import Stack
from kits_core.scan.tilt import grid_of, slices_of

_CODES = {
    Label.KIDNEY: ("Kidney", codes.SCT.AnatomicalStructure, codes.SCT.Kidney),
    Label.TUMOR: ("Tumour", codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm),
    Label.CYST: ("Cyst", codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Cyst),
}
"""Name, category and type of each segment, in SNOMED CT."""
_SERIES_NUMBER = 900  # past those of scanners, so that archives list it last
_SAME_PLACE_MM = 0.01


def write_dicom_seg(
    path: Path,
    labels: NDArray[np.uint8],
    affine: Affine,
    scan: Scan,
    *,
    algorithm: str,
    version: str,
    hidden: Hidden | None = None,
) -> tuple[str, ...]:
    """Write `labels` as a binary DICOM SEG under `path`, whole or not at all; what was mended, see `source_headers`.

    `labels`: uint8 with values of `Label`, on the grid of `read_scan(scan).volume`; `affine`: that grid's. `scan`: of
    kind `dicom`, its files still there. One segment for each label that is present, and a reference to the slice that
    each frame lies on. Labels of a scan whose gantry tilt was taken out go back onto the tilted slices, by the nearest
    pixel. `algorithm`, `version`: what made it. `hidden`: for whom the file is de-identified, by
    DICOM's basic profile. Raises `CaseError` for a scan that is no DICOM, labels on another grid, values that `Label`
    has not, labels that are all empty, and a series that lacks an identifier to refer to.
    """
    if scan.kind != "dicom":
        raise CaseError(scan.name, expected="a DICOM series to refer to", got="a NIfTI file", next_step=AS_NIFTI)
    stack = stack_of(scan)
    _check_grid(scan.name, labels, affine, stack)
    frames, present = _numbered(scan.name, labels, stack)
    made_by = (algorithm, version)
    with reading_dicom(scan.name):
        sources, notes = source_headers(scan.name, stack)
        if hidden is not None:
            made = _segmentation(hide_sources(without_description(sources), hidden), frames, present, *made_by)
            with written_aside(path, suffix=".dcm") as aside:
                aside.write_bytes(_encoded(apply_basic_profile(made)))
            return ()
        try:
            content = _encoded(_segmentation(sources, frames, present, *made_by))
        except Exception:  # noqa: BLE001 - whatever highdicom raises on odd headers, bare ones may do
            notes = ["DICOM SEG: of patient and study, only id and name could be copied from the series"]
            content = _encoded_bare(scan.name, sources, frames, present, made_by)
    with written_aside(path, suffix=".dcm") as aside:
        aside.write_bytes(content)
    return tuple(notes)


def _encoded(segmentation: hd.seg.Segmentation) -> bytes:
    file = BytesIO()
    segmentation.save_as(file)
    return file.getvalue()


def _encoded_bare(
    case: str, sources: list[Dataset], frames: NDArray[np.uint8], present: list[Label], made_by: tuple[str, str]
) -> bytes:
    try:
        return _encoded(_segmentation(without_description(sources), frames, present, *made_by))
    except Exception as error:
        raise CaseError(
            case,
            expected="headers that a DICOM SEG can copy",
            got=str(error) or type(error).__name__,
            next_step=AS_NIFTI,
        ) from error


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
        manufacturer=MAKER,
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
