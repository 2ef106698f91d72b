import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from kits_core.geometry import GridMap, Volume, resample_image, resample_labels, restore_labels
from kits_core.geometry.resample import axis_weights, inside_grid


def _affine(order=(0, 1, 2), flips=(False, False, False), spacing=(1.0, 1.0, 1.0)):
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(spacing) * np.where(flips, -1, 1))[:, list(order)]
    return affine


@given(n=st.integers(1, 60), m=st.integers(1, 60))
def test_weights_of_a_whole_axis_sum_to_one_and_keep_a_ramp(n, m):
    step = n / m
    weights = axis_weights(n, m, (step - 1) / 2, step)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    assert (np.diff(weights @ np.arange(n)) >= -1e-4).all()


def test_halving_an_axis_by_hand():
    # Step 2: a triangle of half-width 2 about 0.5, 2.5: weights 1/8, 3/8, 3/8, 1/8, renormalised at the faces.
    weights = axis_weights(4, 2, 0.5, 2.0)
    np.testing.assert_allclose(weights, [[3 / 7, 3 / 7, 1 / 7, 0], [0, 1 / 7, 3 / 7, 3 / 7]], atol=1e-6)


def test_outside_the_source_the_image_is_fill_and_labels_are_the_first_value():
    source = Volume(np.full((4, 4, 4), 50, dtype=np.int16), np.eye(4))
    grid = replace(GridMap.whole(source, (4, 4, 4)), origin_vox=(-4.0, 0.0, 0.0), shape=(6, 4, 4))
    image = resample_image(source.data, grid, fill=-1000)
    np.testing.assert_allclose(image[:4], -1000)
    np.testing.assert_allclose(image[4:], 50)
    labels = resample_labels(np.ones((4, 4, 4), np.uint8), grid, (0, 1))
    assert labels[:4].max() == 0
    assert labels[4:].min() == 1


def test_shrinking_does_not_alias():
    # A pattern finer than the target grid averages out instead of turning up as another pattern.
    stripes = np.tile(np.array([-100.0, 100.0]), 32)[None, None, :] * np.ones((64, 64, 1))
    grid = GridMap.whole(Volume(stripes, np.eye(4)), (16, 16, 16))
    assert np.abs(resample_image(stripes, grid, fill=0)[:, :, 1:-1]).max() < 1e-3


@settings(deadline=None, max_examples=25)
@given(
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(*[st.booleans()] * 3),
    spacing=st.tuples(*[st.floats(0.39, 5)] * 3),
    shape=st.tuples(*[st.integers(12, 40)] * 3),
    seed=st.integers(0, 100),
)
def test_labels_go_there_and_back(order, flips, spacing, shape, seed):
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 3)
    labels = (noise > np.quantile(noise, 0.7)).astype(np.uint8)
    grid = GridMap.whole(Volume(labels, _affine(order, flips, spacing)), (64, 64, 64))
    there = resample_labels(labels, grid, (0, 1))
    back = restore_labels(np.eye(2, dtype=np.float32)[there], grid)
    assert back.shape == labels.shape
    assert (back != labels).mean() < 0.03


@settings(deadline=None, max_examples=40)
@given(
    matrix=st.lists(st.floats(-1, 1), min_size=9, max_size=9),
    spacing=st.tuples(*[st.floats(0.39, 5)] * 3),
    shape=st.tuples(st.integers(1, 30), st.integers(8, 30), st.integers(8, 30)),
    order=st.permutations([0, 1, 2]),
    seed=st.integers(0, 100),
)
def test_oblique_and_sheared_grids_and_single_slices_come_back_exactly(matrix, spacing, shape, order, seed):
    turn = np.eye(3) + 0.3 * np.reshape(matrix, (3, 3))
    assume(abs(np.linalg.det(turn)) > 0.2)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = (turn * spacing)[:, list(order)], (10, -20, 30)
    labels = np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)
    # As many target voxels as source voxels: each lies on the other's centre, so nothing may be lost.
    i, j, k = (int(n) for n in np.array(shape)[list(GridMap.whole(Volume(labels, affine), shape).axes)])
    grid = GridMap.whole(Volume(labels, affine), (i, j, k))
    assert GridMap.from_json(json.loads(json.dumps(grid.to_json()))) == grid
    centres = grid.affine @ [*((np.array(grid.shape) - 1) / 2), 1]
    np.testing.assert_allclose(centres, affine @ [*((np.array(shape) - 1) / 2), 1], atol=1e-6)
    there = resample_labels(labels, grid, (0, 1, 2))
    np.testing.assert_array_equal(restore_labels(np.eye(3, dtype=np.float32)[there], grid), labels)


@settings(deadline=None, max_examples=20)
@given(shape=st.tuples(*[st.integers(4, 24)] * 3), seed=st.integers(0, 100), flips=st.tuples(*[st.booleans()] * 3))
def test_labels_are_the_arg_max_of_their_resampled_shares(shape, seed, flips):
    labels = (gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1) * 6).clip(0, 2).astype(np.uint8)
    grid = GridMap.whole(Volume(labels, _affine(flips=flips)), (16, 16, 16))
    shares = np.stack([resample_image((labels == v).astype(np.float32), grid, fill=0) for v in (0, 1, 2)])
    top = np.sort(shares, axis=0)
    clear = top[-1] - top[-2] > 1e-4
    np.testing.assert_array_equal(resample_labels(labels, grid, (0, 1, 2))[clear], shares.argmax(axis=0)[clear])


def test_only_where_another_class_leads_is_looked_at_and_the_result_is_that_of_the_whole():
    rng = np.random.default_rng(1)
    source = Volume(np.zeros((20, 41, 37)), _affine((1, 2, 0), (True, False, True), (3.0, 0.8, 0.9)))
    grid = GridMap.whole(source, (24, 24, 24))
    scores = gaussian_filter(rng.standard_normal((24, 24, 24, 3)), (2, 2, 2, 0)) * 20
    scores[..., 0] += 1.5
    probabilities = (np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)).astype(np.float32)
    up = [
        axis_weights(m, n, -origin / step, 1 / step)
        for n, m, origin, step in zip(grid.oriented_shape, grid.shape, grid.origin_vox, grid.step_vox, strict=True)
    ]
    full = np.einsum("ai,bj,ck,ijkv->abcv", *up, probabilities)
    top = np.sort(full, axis=-1)
    clear = top[..., -1] - top[..., -2] > 1e-4
    oriented = restore_labels(probabilities, grid).transpose(grid.axes)[
        tuple(slice(None, None, -1 if flipped else 1) for flipped in grid.flipped)
    ]
    np.testing.assert_array_equal(oriented[clear], full.argmax(-1)[clear])


def test_an_asymmetric_volume_comes_back_the_right_way_round():
    labels = np.zeros((8, 16, 24), np.uint8)
    labels[1:4, 2:5, 3:12] = 1
    labels[5:7, 10:14, 16:20] = 2
    grid = GridMap.whole(Volume(labels, _affine((2, 0, 1), (True, False, True))), (32, 32, 32))
    back = restore_labels(np.eye(3, dtype=np.float32)[resample_labels(labels, grid, (0, 1, 2))], grid)
    np.testing.assert_array_equal(back, labels)


def test_resampling_on_the_same_grid_changes_nothing():
    image = np.random.default_rng(0).normal(size=(7, 8, 9)).astype(np.float32)
    grid = GridMap.whole(Volume(image, np.eye(4)), (7, 8, 9))
    np.testing.assert_allclose(resample_image(image, grid, fill=0), image, atol=1e-5)


def test_all_of_the_source_is_inside_a_whole_grid_and_half_of_it_inside_a_half():
    source = Volume(np.zeros((10, 20, 30)), _affine(flips=(True, False, False)))
    grid = GridMap.whole(source, (32, 32, 32))
    assert np.zeros(source.shape)[inside_grid(grid)].shape == source.shape
    half = replace(grid, step_vox=(grid.step_vox[0] / 2, *grid.step_vox[1:]), origin_vox=(-0.4, *grid.origin_vox[1:]))
    assert inside_grid(half)[0] == slice(5, 10)


def test_a_map_of_another_shape_is_refused():
    grid = GridMap.whole(Volume(np.zeros((4, 4, 4)), np.eye(4)), (4, 4, 4))
    with pytest.raises(ValueError, match=r"shape \(4, 4, 4\), got \(5, 4, 4\)"):
        resample_image(np.zeros((5, 4, 4)), grid, fill=0)


@pytest.mark.parametrize("memory", ["C", "F"])
def test_of_labels_with_equal_shares_the_first_wins_in_whichever_order_they_are_added_up(memory):
    # What one label has on this side of the middle plane, the other has on that side.
    half = np.random.default_rng(3).integers(1, 3, (18, 33, 25)).astype(np.uint8)
    swapped = np.array([0, 2, 1], np.uint8)[half[::-1]]
    labels = np.array(np.concatenate([half, swapped]), order=memory)
    found = resample_labels(labels, GridMap.whole(Volume(labels, np.eye(4)), (9, 11, 5)), (0, 1, 2))
    assert (found[4] == 1).any()
    assert not (found[4] == 2).any()
