import numpy as np
import pytest
from skimage.measure import find_contours

from kits_core.structures.contours import fill

_SHAPE = (30, 40)


def _filled(*contours):
    (i, j), part = fill([np.array(points, float) for points in contours], _SHAPE)
    whole = np.zeros(_SHAPE, bool)
    whole[i : i + part.shape[0], j : j + part.shape[1]] = part
    return whole


def _square(low, high, off=0.0):
    return [(low - off, low - off), (low - off, high + off), (high + off, high + off), (high + off, low - off)]


@pytest.mark.parametrize("off", [0.0, 0.3, 0.5 - 1e-3])
def test_a_pixel_belongs_to_a_contour_by_its_centre(off):
    mask = np.zeros(_SHAPE, bool)
    mask[4:13, 4:13] = True
    assert np.array_equal(_filled(_square(4, 12, off)), mask)
    assert np.array_equal(_filled(_square(4, 12, off)[::-1]), mask)


def test_a_contour_in_a_contour_is_a_hole_and_one_in_the_hole_an_island():
    mask = np.zeros(_SHAPE, bool)
    mask[2:19, 2:19], mask[5:16, 5:16], mask[8:13, 8:13] = True, False, True
    rings = [_square(2, 18, 0.5 - 1e-3), _square(5, 15, 0.5 - 1e-3), _square(8, 12, 0.5 - 1e-3)]
    assert np.array_equal(_filled(*rings), mask)
    assert np.array_equal(_filled(*rings[::-1]), mask)


def test_a_keyhole_cuts_a_hole_and_leaves_its_channel_filled():
    outer, inner = _square(2, 18, 0.4), _square(6, 12, 0.4)
    keyhole = [*outer, outer[0], *inner[::-1], inner[-1], outer[0]]
    mask = np.zeros(_SHAPE, bool)
    mask[2:19, 2:19], mask[6:13, 6:13] = True, False
    assert np.array_equal(_filled(keyhole), mask)


def test_a_structure_that_is_drawn_through_its_outermost_pixels_loses_none_of_them():
    mask = np.zeros(_SHAPE, bool)
    mask[2:19, 2:19], mask[6:13, 6:13] = True, False
    outer, hole = _square(2, 18), _square(5, 13)  # both through pixels of the structure
    assert np.array_equal(_filled(outer, hole), mask)
    jitter = np.random.default_rng(2).uniform(-4e-5, 4e-5, (4, 2))
    assert np.array_equal(_filled(np.array(outer) + jitter, np.array(hole) - jitter), mask)


def test_two_parts_are_both_filled_and_what_lies_outside_is_cut_off():
    mask = np.zeros(_SHAPE, bool)
    mask[:5, :5], mask[20:, 20:31] = True, True
    other = [(20, 20), (20, 30), (35, 30), (35, 20)]
    assert np.array_equal(_filled(_square(-3, 4, 0.2), other), mask)
    assert not _filled(_square(50, 60)).any()
    assert not _filled([(-9, -9), (-9, -5), (-5, -5)]).any()


def test_the_outline_of_any_mask_gives_the_mask():
    rng = np.random.default_rng(4)
    for _ in range(20):
        mask = rng.random(_SHAPE) < 0.6
        outlines = [points - 1 for points in find_contours(np.pad(mask, 1).astype(float), 0.5)]
        assert np.array_equal(_filled(*outlines), mask)
