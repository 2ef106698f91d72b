import numpy as np

from kits_core.geometry.body import body_box
from kits_core.geometry.volume import Volume
from kits_core.phantom.dataset import kits_affine


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


def test_of_a_file_as_kits_stores_its_own_every_so_many_voxels_from_the_first_are_looked_at():
    # So the frames of cases that were prepared before stay what they are, whatever the layout of other files.
    hu = np.full((23, 50, 61), -1000, np.int16)
    hu[4:17, 11:38, 15:52] = 40
    box = body_box(Volume(hu, kits_affine((2.0, 1.3, 1.0))))
    for axis, (stride, mm) in enumerate(zip((2, 3, 4), (2.0, 1.3, 1.0), strict=True)):
        hits = np.flatnonzero((hu[::2, ::3, ::4] > -300).any(axis=tuple(a for a in range(3) if a != axis))) * stride
        margin = stride - 1 + int(np.ceil(10 / mm))
        assert box[axis] == (max(0, hits[0] - margin), min(hu.shape[axis] - 1, hits[-1] + margin))
