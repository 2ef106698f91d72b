import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from kits_core.plan.shape import gap_mm, nearest_gap_mm, rounded_shape_of, shape_of


def _blob(seed, share):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(30, 28, 18)), 2.5)
    return noise > np.quantile(noise, 1 - share)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    share=st.floats(0.02, 0.5),
    spacing=st.tuples(st.floats(0.5, 2), st.floats(0.5, 2), st.floats(0.5, 5)),
)
def test_a_surface_is_closed_and_encloses_the_masks_volume(seed, share, spacing):
    mask = _blob(seed, share)
    shape = rounded_shape_of(mask, spacing)
    assert shape.mesh.is_watertight
    assert shape.mesh.is_winding_consistent
    assert shape.volume_ml == pytest.approx(np.count_nonzero(mask) * np.prod(spacing) / 1000, rel=0.02)


def test_one_voxel_is_a_surface_too():
    mask = np.zeros((3, 3, 3), np.bool_)
    mask[1, 1, 1] = True
    shape = shape_of(mask, (1, 1, 5))
    assert shape.mesh.is_watertight
    assert shape.volume_ml == pytest.approx(0.005, rel=0.05)


def test_a_mask_at_the_edge_is_closed_there():
    mask = np.zeros((20, 20, 10), np.bool_)
    mask[5:15, 5:15, :] = True
    shape = shape_of(mask, (1, 1, 2))
    assert shape.mesh.is_watertight
    low, high = shape.mesh.bounds
    assert low[2] == pytest.approx(-1, abs=0.5)  # half a slice beyond the first centre
    assert high[2] == pytest.approx(19, abs=0.5)


def test_distances_from_it_are_right_inside_outside_and_beyond_its_grid():
    x, y, z = np.indices((50, 50, 50)) - 25
    shape = shape_of(x**2 + y**2 + z**2 < 15**2, (1, 1, 1))
    points = np.array([[25, 25, 35.0], [25, 25, 45], [25, 25, 125]])
    assert shape.at(points) == pytest.approx([-5, 5, 85], abs=1)


def test_the_gap_between_two_surfaces_and_none_where_they_touch():
    x, y, z = np.indices((80, 40, 40)) - np.array([20.4, 20.2, 20.3]).reshape(3, 1, 1, 1)
    ball = x**2 + y**2 + z**2 < 12**2
    first = rounded_shape_of(ball, (1, 1, 1))
    apart, touching, within = (
        rounded_shape_of(mask & ~ball if name == "touching" else mask, (1, 1, 1))
        for name, mask in {
            "apart": (x - 35) ** 2 + y**2 + z**2 < 12**2,
            "touching": (x - 20) ** 2 + y**2 + z**2 < 12**2,
            "within": x**2 + y**2 + z**2 < 5**2,
        }.items()
    )
    assert gap_mm(first, apart) == pytest.approx(11, abs=0.5)
    assert gap_mm(first, touching) == 0
    assert gap_mm(first, within) == 0


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 60)] * 3, st.integers(2, 6)), min_size=2, max_size=6))
def test_the_nearest_of_some_is_found_without_a_look_at_all(balls):
    grid = np.indices((70, 70, 70))

    def shape(x, y, z, radius):
        return shape_of(((grid - np.array([x, y, z])[:, None, None, None]) ** 2).sum(axis=0) <= radius**2, (1, 1, 1))

    first, *others = (shape(*ball) for ball in balls)
    assert nearest_gap_mm(first, others) == min(gap_mm(first, other) for other in others)


def test_nothing_has_no_surface():
    with pytest.raises(ValueError, match="not empty"):
        shape_of(np.zeros((4, 4, 4), np.bool_), (1, 1, 1))
