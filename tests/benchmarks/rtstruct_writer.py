"""Writes RTSTRUCTs by pydicom."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid


def rtstruct(first: Dataset, contours: Mapping[str, Iterable[tuple[str, NDArray[Any] | Sequence[Any]]]]) -> Dataset:
    """A data set of `{name: [(type, points in LPS mm), …]}` that refers to a slice's series."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = RTStructureSetStorage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.Modality, data.StudyInstanceUID, data.SeriesInstanceUID = "RTSTRUCT", first.StudyInstanceUID, generate_uid()
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    study.ReferencedSOPInstanceUID, study.RTReferencedSeriesSequence = first.StudyInstanceUID, [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = first.FrameOfReferenceUID, [study]
    data.ReferencedFrameOfReferenceSequence = [frame]
    data.StructureSetROISequence, data.ROIContourSequence, data.RTROIObservationsSequence = [], [], []
    for number, (name, drawn) in enumerate(contours.items(), start=1):
        region, item, observation = Dataset(), Dataset(), Dataset()
        region.ROINumber, region.ROIName = number, name
        region.ReferencedFrameOfReferenceUID = first.FrameOfReferenceUID
        item.ReferencedROINumber, item.ContourSequence = number, []
        for kind, points in drawn:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{value:.3f}" for value in np.ravel(points)]
            item.ContourSequence.append(contour)
        observation.ReferencedROINumber = observation.ObservationNumber = number
        observation.RTROIInterpretedType = "ORGAN"
        data.StructureSetROISequence.append(region)
        data.ROIContourSequence.append(item)
        data.RTROIObservationsSequence.append(observation)
    return data
