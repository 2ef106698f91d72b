"""One scan, however its file lays out the voxels: the same network input and the same labels, to the last voxel."""

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from kits_core.geometry import Volume, resample_labels
from kits_core.geometry.organs import kidneys_box
from kits_core.inference.predict import Segmenter, segment
from kits_core.recipe import Recipe
from kits_core.recipe.frame import frame_scan
from kits_core.scan.features import describe
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan

SPACING = (2.1, 1.3, 1.1)  # the body is looked for at every second, third and fourth voxel
FLIPS = list(product((False, True), repeat=3))
ORDERS = list(permutations(range(3)))
RECIPES = {
    "volume": Recipe(shape=64),
    "volume whole": Recipe(shape=64, trim_air=False),
    "volume at a spacing": Recipe(shape=64, spacing_mm=1.7),
    "kidneys": Recipe(shape=64, frame="kidneys", margin_mm=11),
    "kidneys at a spacing": Recipe(shape=64, frame="kidneys", spacing_mm=1.3),
}


class Bright:
    """A network that calls bright voxels kidney and brighter ones tumour: one HU more or less may change its answer."""

    deep_supervision = False

    def predict_on_batch(self, images):
        self.seen = images[0, ..., 0]
        kidney, tumor = 1 / (1 + np.exp(-8 * (images[..., 0] - 0.3))), 1 / (1 + np.exp(-8 * (images[..., 0] - 1.1)))
        return np.stack([1 - kidney, kidney - tumor * kidney, tumor * kidney], axis=-1)


@pytest.fixture(scope="module")
def scan():
    """HU and labels, axes to inferior, posterior and left: a body off the middle, two kidneys, one tumour."""
    rng = np.random.default_rng(8)
    shape = (49, 83, 94)
    mm = np.stack(np.meshgrid(*(np.arange(n) * mm for n, mm in zip(shape, SPACING, strict=True)), indexing="ij"), -1)
    labels = np.zeros(shape, np.uint8)
    hu = np.full(shape, -1000.0)
    hu[(((mm - [53, 49, 55]) / [36, 31, 33]) ** 2).sum(-1) < 1] = 30
    for label, centre, radius in ((1, (50, 52, 38), 11), (1, (56, 50, 72), 12), (2, (60, 44, 74), 7)):
        labels[np.linalg.norm(mm - centre, axis=-1) < radius] = label
    hu[labels == 1], hu[labels == 2] = 170, 240
    affine = np.array([[0, 0, -SPACING[2], 90], [0, -SPACING[1], 0, 60], [-SPACING[0], 0, 0, -500], [0, 0, 0, 1.0]])
    noisy = np.where(hu > -900, hu + rng.normal(0, 15, shape), hu)
    return Volume(np.rint(noisy).astype(np.int16), affine), labels


def _stored(volume, order, flips, memory="C"):
    """The same volume with its axes in another order, some of them turned round, and its own place in memory."""
    data, affine = volume.data.transpose(order), volume.affine[:, [*order, 3]].copy()
    for axis, flip in enumerate(flips):
        if flip:
            affine[:, 3] += affine[:, axis] * (data.shape[axis] - 1)
            affine[:, axis] *= -1
            data = np.flip(data, axis)
    return Volume(np.array(data, order=memory), affine)


def _canonical(labels, affine):
    return nib.orientations.apply_orientation(labels, nib.orientations.io_orientation(affine))


def _answer(volume, recipe):
    network, locator = Bright(), Bright()
    labels = segment("case", volume, Segmenter(network, recipe), Segmenter(locator, RECIPES["volume"]))
    return network.seen, _canonical(labels, volume.affine)


@pytest.mark.parametrize("name", RECIPES)
def test_every_layout_of_a_file_gives_the_same_input_and_the_same_labels(scan, name):
    volume, _ = scan
    seen, labels = _answer(volume, RECIPES[name])
    assert (labels == 1).any()
    layouts = [((0, 1, 2), flips) for flips in FLIPS] + [(order, (False, True, False)) for order in ORDERS]
    for (order, flips), memory in zip(layouts, "CF" * len(layouts), strict=False):
        again, found = _answer(_stored(volume, order, flips, memory), RECIPES[name])
        assert np.array_equal(again, seen), (order, flips)
        assert np.array_equal(found, labels), (order, flips)


def test_reference_labels_come_onto_the_grid_alike(scan):
    volume, labels = scan
    prepared = None
    for order, flips in product(ORDERS, FLIPS[::3]):
        turned = _stored(Volume(labels, volume.affine), order, flips)
        grid = frame_scan("case", _stored(volume, order, flips), RECIPES["volume"])
        found = resample_labels(turned.data, grid, (0, 1, 2))
        prepared = found if prepared is None else prepared
        assert np.array_equal(found, prepared), (order, flips)


def test_what_a_scan_is_like_does_not_depend_on_its_layout(scan):
    volume, labels = scan
    first = describe(volume, labels)
    for order, flips in product(ORDERS, FLIPS):
        turned = _stored(Volume(labels, volume.affine), order, flips)
        assert describe(_stored(volume, order, flips), turned.data) == pytest.approx(first, abs=0, rel=1e-12)


@pytest.mark.parametrize("spacing", [(0.8333333, 0.8333333, 1.6), (0.78125, 0.703125, 2.5), (0.9, 0.7, 10 / 3)])
@pytest.mark.parametrize("name", ["volume", "volume at a spacing", "kidneys"])
def test_a_dicom_series_and_a_nifti_of_it_give_the_same_labels(tmp_path, dicom, scan, spacing, name):
    """Headers of NIfTI have 32 bits, those of DICOM decimals: 0.8333333 mm is more than 10/12 in one of them only."""
    hu = np.clip(scan[0].data.transpose(2, 1, 0), -1024, 3000)
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = [41.7, 33.3, -512.4]
    dicom.series(tmp_path / "d", hu.astype(np.int32) + 1024, affine)
    from_dicom = read_scan(find_scans([tmp_path / "d"]).scans[0]).volume
    turned = _stored(Volume(hu.astype(np.int16), affine), (0, 1, 2), (True, True, False))
    assert turned.orientation == "RAS"
    image = nib.Nifti1Image(turned.data, turned.affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "n.nii.gz")
    from_nifti = read_scan(find_scans([tmp_path / "n.nii.gz"]).scans[0]).volume
    for one, other in zip(_answer(from_dicom, RECIPES[name]), _answer(from_nifti, RECIPES[name]), strict=True):
        assert np.array_equal(one, other)


def test_a_margin_is_as_many_voxels_whatever_a_header_rounds():
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[18:22, 18:22, 18:22] = 1
    sizes = (10 / 12, 0.8333333, float(np.float32(10 / 12)))
    boxes = {kidneys_box(labels, (mm, mm, mm), 10.0, clean=False) for mm in sizes}
    assert len(boxes) == 1
