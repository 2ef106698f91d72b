from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from kits_core.errors import KitsError
from kits_core.labels import Label
from kits_core.phantom import paint as module
from kits_core.phantom.anatomy import make_labels
from kits_core.phantom.paint import paint

_MASKS = Path(__file__).parents[3].parent / "shared" / "kits23" / "dataset"
_SHAPE, _SPACING = (44, 112, 112), (4.0, 2.6, 2.6)


@pytest.fixture(scope="module", params=[1, 4])
def patient(request):
    rng = np.random.default_rng(request.param)
    labels = make_labels(_SHAPE, _SPACING, rng)
    return labels, paint(labels, _SPACING, rng)


def test_tissues_have_the_hounsfield_units_of_a_corticomedullary_scan(patient):
    labels, hu = patient
    assert hu.dtype == np.int16
    assert hu.shape == labels.shape
    kidney = hu[labels == Label.KIDNEY]
    assert 100 < kidney.mean() < 190
    assert 20 < np.median(hu[binary_erosion(labels == Label.TUMOR)]) < 130
    assert hu[0, 0, 0] < -900


def test_intensity_alone_does_not_find_the_kidneys(patient):
    labels, hu = patient
    kidney = hu[labels == Label.KIDNEY]
    low, high = np.percentile(kidney, [10, 90])
    alike = (hu >= low) & (hu <= high) & (labels == Label.BACKGROUND)
    assert np.count_nonzero(alike) > np.count_nonzero(labels == Label.KIDNEY)


def test_the_cortex_is_brighter_than_the_medulla():
    # A ball of kidney 60 mm across: its shell is cortex, its core medulla.
    z, y, x = np.indices((40, 96, 96))
    r = np.sqrt(((z - 20) * 3.0) ** 2 + ((y - 55) * 2.0) ** 2 + ((x - 48) * 2.0) ** 2)
    labels = (r < 30).astype(np.uint8)
    hu = paint(labels, (3.0, 2.0, 2.0), np.random.default_rng(0))
    assert hu[(r > 24) & (r < 28)].mean() > hu[r < 15].mean() + 40


def test_a_large_cyst_is_water():
    labels = np.zeros(_SHAPE, np.uint8)
    labels[15:30, 50:70, 40:60] = Label.CYST
    hu = paint(labels, _SPACING, np.random.default_rng(0))
    assert 0 <= hu[18:27, 54:66, 44:56].mean() <= 20


def test_the_same_generator_paints_the_same_image_whatever_the_slabs(monkeypatch):
    labels = make_labels((24, 48, 48), (6.0, 5.0, 5.0), np.random.default_rng(0))
    whole = paint(labels, (6.0, 5.0, 5.0), np.random.default_rng(5))
    monkeypatch.setattr(module, "_SLAB_VOXELS", 3 * 48 * 48)
    assert np.array_equal(paint(labels, (6.0, 5.0, 5.0), np.random.default_rng(5)), whole)
    assert not np.array_equal(paint(labels, (6.0, 5.0, 5.0), np.random.default_rng(6)), whole)


@pytest.mark.parametrize("corner", [0, -1])
def test_labels_in_a_corner_lie_inside_a_body(corner):
    labels = np.zeros((20, 64, 64), np.uint8)
    labels[corner, corner, corner] = Label.TUMOR
    hu = paint(labels, (5.0, 5.0, 5.0), np.random.default_rng(0))
    beside = hu[1 if corner == 0 else -2, 1 if corner == 0 else -2, 1 if corner == 0 else -2]
    assert beside > -300


def test_no_labels_and_all_labels_are_painted_too():
    empty = paint(np.zeros((12, 40, 40), np.uint8), (5.0, 8.0, 8.0), np.random.default_rng(0))
    assert empty.max() > 0 > empty.min()
    full = paint(np.full((12, 40, 40), 1, np.uint8), (5.0, 8.0, 8.0), np.random.default_rng(0))
    assert full.min() > 0


def test_noise_is_10_to_15_hu_and_correlated():
    labels = np.full((16, 64, 64), Label.CYST, np.uint8)
    hu = paint(labels, (1.0, 0.8, 0.8), np.random.default_rng(0)).astype(float)
    inner = hu[4:12, 20:44, 20:44]
    noise = inner - inner.mean()
    assert 9 < noise.std() < 16
    assert np.corrcoef(noise[:, :, :-1].ravel(), noise[:, :, 1:].ravel())[0, 1] > 0.4


def test_wrong_input_is_refused():
    rng = np.random.default_rng(0)
    flat, wide, more = np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.int16), np.full((4, 4, 4), 4, np.uint8)
    wrong: list[Any] = [flat, wide, more]
    for labels in wrong:
        with pytest.raises(KitsError, match="3-D uint8"):
            paint(labels, (1, 1, 1), rng)
    with pytest.raises(KitsError, match="above 0"):
        paint(np.zeros((4, 4, 4), np.uint8), (1, 0, 1), rng)


def test_a_real_mask_is_painted_at_full_resolution():
    file = _MASKS / "case_00010" / "segmentation.nii.gz"
    if not file.is_file():
        pytest.skip(f"needs the real masks at {_MASKS}")
    mask = nib.load(file)
    labels = np.ascontiguousarray(np.asarray(mask.dataobj, dtype=np.uint8)[10:20])
    z, y, x = (float(size) for size in mask.header.get_zooms())
    hu = paint(labels, (z, y, x), np.random.default_rng(0))
    assert 90 < hu[labels == Label.KIDNEY].mean() < 190
    assert 20 < hu[labels == Label.TUMOR].mean() < 130
    body = hu > -300
    assert body[labels > 0].mean() > 0.99
    assert 0.1 < body.mean() < 0.7
