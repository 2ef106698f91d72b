"""What a page for people must not have, and DICOM series written slice by slice from an array and an affine."""

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def dicom_slices(stored, affine, *, series=None, slope=1, intercept=-1024, **tags):
    """One data set a slice. `stored`: int `(column, row, slice)`, written as uint16; `affine`: voxel to RAS mm."""
    lps = RAS_TO_LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    row, column = lps[:3, 0] / spacing[0], lps[:3, 1] / spacing[1]
    study, series, frame = generate_uid(), series or generate_uid(), generate_uid()
    for k in range(stored.shape[2]):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.PatientID, data.PatientName, data.PatientBirthDate, data.PatientSex = "7", "A^B", "", ""
        data.StudyDate, data.StudyTime, data.AccessionNumber, data.StudyID = "20200101", "120000", "", ""
        data.ReferringPhysicianName, data.Manufacturer, data.SeriesNumber = "", "", 3
        data.Modality, data.SeriesDescription, data.ImageType = "CT", "Abdomen 2.0", ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.InstanceNumber = k + 1
        data.Columns, data.Rows = stored.shape[:2]
        data.PixelSpacing = [_ds(spacing[1]), _ds(spacing[0])]
        data.ImageOrientationPatient = [_ds(v) for v in (*row, *column)]
        data.ImagePositionPatient = [_ds(v) for v in (lps @ [0, 0, k, 1])[:3]]
        data.SliceThickness = _ds(spacing[2])
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
        data.PixelData = np.ascontiguousarray(stored[:, :, k].T).astype("<u2").tobytes()
        for name, value in tags.items():
            setattr(data, name, value)
        yield data


def save_slices(folder, slices, names="slice_{:03d}.dcm"):
    """Write data sets into a folder, which is made; gives the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index, data in enumerate(slices):
        files.append(folder / names.format(index))
        data.save_as(files[-1], enforce_file_format=True)
    return files


def _ds(value):
    """A decimal string of at most 16 characters."""
    return f"{value:.12f}"[:16] if value < 0 else f"{value:.13f}"[:16]


def body(shape=(24, 20, 12)):
    """Stored values (HU + 1024) of a body in air that looks different from every side."""
    i, j, k = np.meshgrid(*map(np.arange, shape), indexing="ij")
    inside = ((i - shape[0] / 2) / shape[0]) ** 2 + ((j - shape[1] / 2) / shape[1]) ** 2 < 0.16
    return np.where(inside, 1024 + 3 * i + 2 * j + 5 * k, 24).astype(np.int32)


class Dicom:
    """What tests write DICOM with, by one fixture."""

    slices = staticmethod(dicom_slices)
    save = staticmethod(save_slices)
    body = staticmethod(body)

    @staticmethod
    def series(folder, stored, affine, **tags):
        return save_slices(folder, dicom_slices(stored, affine, **tags))


@pytest.fixture(scope="session")
def dicom():
    return Dicom


@pytest.fixture
def stored():
    return body()


@pytest.fixture(scope="session")
def serious():
    """What axe-core finds wrong with a page in a browser that keeps someone from using it: rules and elements."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def find(page):
        found = axe.run(page).response["violations"]
        return {one["id"]: [node["target"] for node in one["nodes"]] for one in found if one["impact"] != "minor"}

    return find
