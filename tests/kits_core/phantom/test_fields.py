import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kits_core.phantom.fields import coarse_grid, pooled_foreground, ramp, smooth_noise, upsample_slab


def test_the_coarse_grid_is_about_1_6_mm_and_never_finer_than_the_scan():
    grid = coarse_grid((101, 512, 512), (3.0, 0.8, 0.5))
    assert grid.step == (1, 2, 3)
    assert grid.shape == (101, 256, 171)
    assert grid.spacing_mm == pytest.approx((3.0, 1.6, 1.5))


@settings(max_examples=30, deadline=None)
@given(shape=st.tuples(*[st.integers(1, 30)] * 3), spacing=st.tuples(*[st.floats(0.3, 3)] * 3))
def test_upsampling_reproduces_a_linear_field_and_slabs_agree_with_the_whole(shape, spacing):
    grid = coarse_grid(shape, spacing)
    z, y, x = np.indices(grid.shape).astype(np.float32)
    field = (2 * z * grid.step[0] - y * grid.step[1] + 0.5 * x * grid.step[2]).astype(np.float32)
    whole = upsample_slab(field, grid, 0, shape[0])
    assert whole.shape == shape
    inner = tuple(slice(0, (n - 1) * k + 1) for n, k in zip(grid.shape, grid.step, strict=True))
    z, y, x = np.indices(shape).astype(np.float32)
    assert np.allclose(whole[inner], (2 * z - y + 0.5 * x)[inner], atol=1e-3)
    middle = shape[0] // 2
    parts = [upsample_slab(field, grid, 0, middle)] if middle else []
    parts.append(upsample_slab(field, grid, middle, shape[0]))
    assert np.array_equal(np.concatenate(parts), whole)


def test_smooth_noise_has_unit_spread_and_its_wavelength_in_mm():
    noise = smooth_noise((80, 120, 160), (4.0, 2.0, 1.0), 20, np.random.default_rng(0))
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(1, abs=0.15)
    assert abs(noise.mean()) < 0.2
    # 20 mm apart is 5, 10 and 20 voxels: equally far along each axis.
    near = [
        np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in ((noise[:-1], noise[1:]), (noise[:, :-2], noise[:, 2:]))
    ]
    assert near[0] == pytest.approx(near[1], abs=0.05)
    assert near[0] > 0.7
    assert abs(np.corrcoef(noise[:, :, :-40].ravel(), noise[:, :, 40:].ravel())[0, 1]) < 0.1


def test_pooling_keeps_a_single_voxel():
    labels = np.zeros((7, 33, 33), np.uint8)
    labels[6, 32, 31] = 2
    grid = coarse_grid((7, 33, 33), (0.5, 0.5, 0.5))
    assert pooled_foreground(labels, grid).sum() == 1


def test_a_ramp_is_half_at_the_surface():
    assert ramp(np.array([-5, 0, 5], np.float32)).tolist() == [0, 0.5, 1]
