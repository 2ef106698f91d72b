"""SEGs written by highdicom and RTSTRUCTs written by pydicom, of a small series."""

import highdicom as hd
import numpy as np
import pytest
from pydicom.sr.codedict import codes
from rtstruct_writer import rtstruct
from skimage.measure import find_contours

from kits_core.scan.find import find_scans

SHAPE = (24, 20, 12)
AXIAL = np.array([[-0.8, 0, 0, 90], [0, -0.7, 0, 60], [0, 0, 3.0, -500], [0, 0, 0, 1.0]])
FEET_FIRST = AXIAL @ np.diag([1, -1, -1, 1.0])
TILTED = AXIAL.copy()
TILTED[1, 2] = 0.7  # one row a slice
_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _oblique():
    row = np.array([-0.96, 0.2, 0.1])
    row /= np.linalg.norm(row)
    column = np.array([-0.1, -0.9, 0.3])
    column -= (column @ row) * row
    column /= np.linalg.norm(column)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([row, column, np.cross(row, column)]) * [0.7, 0.9, 2.5]
    affine[:3, 3] = [20, -30, 100]
    return affine


AFFINES = {"axial": AXIAL, "feet first": FEET_FIRST, "oblique": _oblique(), "tilted": TILTED}


def masks(shape=SHAPE):
    """A kidney with a hole and an island in it, in two parts on some slices, and a tumour that overlaps it."""
    kidney, tumor = np.zeros((2, *shape), bool)
    kidney[2:13, 3:15, 2:9] = True
    kidney[4:11, 5:13, 4:7] = False
    kidney[6:8, 8:10, 4:7] = True
    kidney[16:21, 10:17, 3:8] = True
    kidney[16, 10, :] = kidney[20, 16, :] = False
    tumor[10:18, 6:12, 5:10] = True
    return {"Kidney": kidney, "Tumour": tumor}


class Series:
    """A series in a folder. `affine`: of its slices as stored. `shape`: theirs too."""

    def __init__(self, dicom, folder, affine, shape=SHAPE):
        self.affine, self.shape = affine, shape
        self.slices = list(dicom.slices(dicom.body(shape), affine))
        order = np.random.default_rng(1).permutation(len(self.slices))
        dicom.save(folder, [self.slices[k] for k in order])
        self.scan = find_scans([folder]).scans[0]

    def seg(self, path, named, kind="BINARY", change=None, **more):
        """Write masks `{name: (column, row, slice)}`, or probabilities, as SEG on the slices."""
        pixels = np.stack([mask.transpose(2, 1, 0) for mask in named.values()], axis=-1)
        if kind == "LABELMAP":
            numbered = np.zeros(pixels.shape[:-1], np.uint8)
            for number in range(pixels.shape[-1]):
                numbered[pixels[..., number]] = number + 1
            pixels = numbered
        elif kind == "BINARY":
            pixels = pixels.astype(np.uint8)
        return self._write(path, pixels, named, kind, change, **more)

    def seg_volume(self, path, named, affine, change=None, **more):
        """Write masks `{name: (i, j, k)}` on a grid of their own (RAS mm) as SEG."""
        stacked = np.stack([mask.transpose(2, 1, 0) for mask in named.values()], axis=-1).astype(np.uint8)
        turned = (_TO_LPS @ affine)[:, [2, 1, 0, 3]]
        volume = hd.Volume(stacked, turned, "PATIENT", channels={"SegmentNumber": range(1, stacked.shape[-1] + 1)})
        return self._write(path, volume, named, "BINARY", change, **more)

    def _write(self, path, pixels, named, kind, change, **more):
        seg = hd.seg.Segmentation(
            source_images=self.slices,
            pixel_array=pixels,
            segmentation_type=kind,
            segment_descriptions=[_description(number, name) for number, name in enumerate(named, start=1)],
            series_instance_uid=hd.UID(),
            series_number=9,
            sop_instance_uid=hd.UID(),
            instance_number=1,
            manufacturer="x",
            manufacturer_model_name="x",
            software_versions="1",
            device_serial_number="1",
            **more,
        )
        if change is not None:
            change(seg)
        seg.save_as(path)
        return path

    def rtstruct(self, path, contours, change=None, **save):
        """Write `{name: [(type, points in mm), …]}` as RTSTRUCT of the series."""
        data = rtstruct(self.slices[0], contours)
        if change is not None:
            change(data)
        data.save_as(path, enforce_file_format=True, **save)
        return path

    def place(self, points):
        """Voxels of the slices as stored, `(points, 3)`, in LPS mm."""
        return (np.c_[points, np.ones(len(points))] @ (_TO_LPS @ self.affine).T)[:, :3]

    def outlines(self, mask):
        """The closed contours of a mask on each slice, holes as contours of their own."""
        return [
            ("CLOSED_PLANAR", self.place(np.c_[points[:-1] - 1, np.full(len(points) - 1, k)]))
            for k in range(mask.shape[2])
            for points in find_contours(np.pad(mask[:, :, k], 1).astype(float), 0.5)
        ]


def _description(number, name):
    kind = codes.SCT.Kidney if "kidney" in name.lower() else codes.SCT.Neoplasm
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=kind,
        algorithm_type="MANUAL",
    )


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


class Helpers:
    """What the tests of this room share, by one fixture."""

    affines, axial, masks, dice = AFFINES, AXIAL, staticmethod(masks), staticmethod(dice)


@pytest.fixture(scope="session")
def helpers():
    return Helpers


@pytest.fixture
def series(tmp_path, dicom):
    """The axial series, and what makes another."""
    return Series(dicom, tmp_path / "ct", AXIAL)


@pytest.fixture
def make_series(tmp_path, dicom):
    def make(affine, shape=SHAPE, name="ct"):
        return Series(dicom, tmp_path / name, affine, shape)

    return make
