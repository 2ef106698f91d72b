import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from surface_distance import compute_surface_dice_at_tolerance, compute_surface_distances

from kits_core.metrics.surface import surface_dice


def _blob(shape, seed, share):
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
    return noise > np.quantile(noise, 1 - share)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(*[st.integers(4, 22)] * 3),
    spacing=st.tuples(*[st.floats(0.39, 5)] * 3),
    seeds=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    share=st.floats(0.02, 0.9),
    tolerance=st.floats(0.0, 6),
)
def test_it_is_the_value_of_the_package_that_the_challenge_uses(shape, spacing, seeds, share, tolerance):
    prediction, reference = (_blob(shape, seed, share) for seed in seeds)
    distances = compute_surface_distances(reference, prediction, spacing)
    expected = compute_surface_dice_at_tolerance(distances, tolerance)
    assert surface_dice(prediction, reference, spacing, tolerance) == pytest.approx(expected, abs=1e-9)


def test_two_cubes_a_voxel_apart_by_hand():
    one, other = np.zeros((2, 12, 12, 12), np.bool_)
    one[3:7, 3:7, 3:7] = True
    other[3:7, 3:7, 4:8] = True
    assert surface_dice(one, other, (1.0, 1.0, 1.0), 1.0) == pytest.approx(1.0)
    assert 0 < surface_dice(one, other, (1.0, 1.0, 1.0), 0.5) < 1
    assert surface_dice(one, other, (1.0, 1.0, 3.0), 1.0) < 1


def test_the_empty_rule():
    empty, full = np.zeros((5, 5, 5), np.bool_), np.ones((5, 5, 5), np.bool_)
    assert surface_dice(empty, empty, (1.0, 1.0, 1.0), 1.0) == 1.0
    assert surface_dice(empty, full, (1.0, 1.0, 1.0), 1.0) == surface_dice(full, empty, (1.0, 1.0, 1.0), 1.0) == 0.0
    assert surface_dice(full, full, (1.0, 1.0, 1.0), 0.0) == 1.0
