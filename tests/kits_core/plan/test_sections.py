import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from skimage.draw import polygon2mask

from kits_core.plan.sections import _path


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)))
def test_an_outline_encloses_its_pixels_and_no_other(mask):
    """Filled by the rule of SVG's `evenodd`: a pixel is inside where it is in an odd number of the outlines."""
    inside = np.zeros(mask.shape, bool)
    for outline in re.findall(r"M([^Z]+)Z", _path(mask)):
        points = [[float(value) for value in point.split(",")][::-1] for point in outline.split("L")]
        inside ^= polygon2mask(mask.shape, np.array(points) - 0.5)
    np.testing.assert_array_equal(inside, mask)


@given(st.integers(1, 40), st.integers(1, 40))
def test_a_straight_side_has_no_points_between_its_ends(height, width):
    path = _path(np.ones((height, width), bool))
    assert len(set(path.strip("MZ").split("L"))) <= 8  # find_contours cuts each corner
