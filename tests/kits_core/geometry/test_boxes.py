import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kits_core.geometry.boxes import bounding_box, grown


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=8), st.permutations([0, 1, 2]))
def test_the_box_holds_all_points_and_nothing_more(points, order):
    mask = np.zeros((7, 7, 7), np.bool_).transpose(order)
    for point in points:
        mask[point] = True
    box = bounding_box(mask)
    found = np.array(points)
    assert [part.start for part in box] == found.min(axis=0).tolist()
    assert [part.stop - 1 for part in box] == found.max(axis=0).tolist()


def test_nothing_has_no_box_and_a_grown_one_stays_in_the_array():
    assert bounding_box(np.zeros((2, 3, 4))) is None
    assert grown((slice(0, 2), slice(3, 4), slice(1, 9)), (1, 2, 3), (5, 5, 10)) == (
        slice(0, 3),
        slice(1, 5),
        slice(0, 10),
    )
