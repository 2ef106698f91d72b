import numpy as np
import pytest

from kits_core.geometry.volume import Volume
from kits_core.labels import Label
from kits_core.scan.features import FEATURES, describe

_IPL = np.array([[0, 0, -0.8, 0], [0, -0.7, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1.0]])


def _scan():
    """A body of 40 HU with an organ of 90 to 110 HU that is labelled as kidney, and 100 HU of tumour in it."""
    hu = np.full((30, 100, 120), -1000, np.int16)
    hu[:, 20:80, 20:100] = 40
    labels = np.zeros(hu.shape, np.uint8)
    labels[5:10, 30:40, 30:41] = Label.KIDNEY
    hu[5:10, 30:40, 30:41] = np.arange(90, 101)
    labels[7, 35, 35] = Label.TUMOR
    hu[7, 35, 35] = 500
    return Volume(hu, _IPL), labels


def test_numbers_that_can_be_counted_by_hand():
    found = describe(*_scan())
    assert list(found) == list(FEATURES)
    assert found["slice_spacing_mm"] == pytest.approx(3)
    assert found["in_plane_spacing_mm"] == pytest.approx(0.8)
    assert found["head_foot_extent_mm"] == pytest.approx(90)
    assert found["in_plane_extent_mm"] == pytest.approx(96)
    assert (found["body_p5_hu"], found["body_p50_hu"]) == (40, 40)
    assert found["kidney_median_hu"] == 95


@pytest.mark.parametrize("order", "CF")
def test_the_order_in_memory_does_not_matter(order):
    volume, labels = _scan()
    again = describe(Volume(np.array(volume.data, order=order), volume.affine), np.array(labels, order=order))
    assert again == describe(volume, labels)


def test_no_kidney_has_no_median_and_no_body_is_taken_whole():
    found = describe(Volume(np.full((9, 9, 9), -1000, np.int16), np.eye(4)), np.zeros((9, 9, 9), np.uint8))
    assert "kidney_median_hu" not in found
    assert found["body_p95_hu"] == -1000
