import numpy as np

from kits_core.geometry.body import body_box
from kits_core.geometry.volume import Volume


def _scan():
    hu = np.full((20, 100, 100), -1000, np.int16)
    hu[:, 30:70, 20:90] = 40
    return hu


def _affine(slice_mm, in_plane_mm):
    return np.diag([slice_mm, in_plane_mm, in_plane_mm, 1.0])


def test_the_box_holds_the_body_and_at_most_a_margin_more():
    box = body_box(Volume(_scan(), _affine(5.0, 2.0)))
    assert box[0] == (0, 19)
    for (first, last), (low, high) in zip(box[1:], ((30, 69), (20, 89)), strict=True):
        assert low - 8 <= first <= low - 5
        assert high + 5 <= last <= high + 8


def test_a_table_apart_from_the_body_is_left_out():
    hu = _scan()
    hu[:, 80:83, :] = 200
    assert body_box(Volume(hu, _affine(5.0, 2.0)))[1][1] < 80


def test_a_scan_without_a_body_is_taken_whole():
    hu = np.full((5, 6, 7), -1000, np.int16)
    assert body_box(Volume(hu, np.eye(4))) == ((0, 4), (0, 5), (0, 6))
