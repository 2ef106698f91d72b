import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kits_core.geometry import GridMap, Volume

KITS_AFFINE = np.array([[0, 0, -0.8, 0], [0, -0.8, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]])  # I-P-L


def test_the_whole_of_a_kits_scan_ends_up_in_r_a_s_order():
    grid = GridMap.whole(Volume(np.zeros((10, 40, 50)), KITS_AFFINE), (25, 20, 5))
    assert grid.axes == (2, 1, 0)
    assert grid.flipped == (True, True, True)
    assert grid.oriented_shape == (50, 40, 10)
    assert grid.step_vox == (2.0, 2.0, 2.0)
    assert (np.diag(grid.affine)[:3] > 0).all()


def test_the_outer_faces_of_both_grids_coincide():
    source = Volume(np.zeros((10, 40, 50)), KITS_AFFINE)
    grid = GridMap.whole(source, (32, 32, 32))
    corners = np.array([[-0.5, -0.5, -0.5, 1], [31.5, 31.5, 31.5, 1]]).T
    source_corners = np.array([[9.5, 39.5, 49.5, 1], [-0.5, -0.5, -0.5, 1]]).T
    np.testing.assert_allclose(grid.affine @ corners, source.affine @ source_corners, atol=1e-9)


@given(st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3), st.tuples(*[st.floats(0.39, 5)] * 3))
def test_json_makes_the_same_map_again(order, flips, spacing):
    affine = np.eye(4)
    affine[:3, :3] = (np.diag(spacing) * np.where(flips, -1, 1))[:, order]
    grid = GridMap.whole(Volume(np.zeros((4, 5, 6)), affine), (32, 64, 32))
    assert GridMap.from_json(json.loads(json.dumps(grid.to_json()))) == grid


def test_a_grid_of_equal_spacing_about_the_centre_of_a_box():
    source = Volume(np.zeros((40, 200, 200)), np.diag([5.0, 0.8, 0.8, 1.0]))
    grid = GridMap.at_spacing(source, ((10, 29), (50, 149), (50, 149)), (64, 64, 64), 1.5)
    np.testing.assert_allclose(np.linalg.norm(grid.affine[:3, :3], axis=0), 1.5)
    centre = grid.affine @ [31.5, 31.5, 31.5, 1]
    np.testing.assert_allclose(centre[:3], [19.5 * 5, 99.5 * 0.8, 99.5 * 0.8])


def test_padding_adds_voxels_of_the_same_size_in_the_same_places():
    source = Volume(np.zeros((40, 50, 60)), np.diag([-5.0, 0.8, 1.8, 1.0]))
    grid = GridMap.whole(source, (32, 32, 32))
    wide = grid.padded(4)
    assert wide.shape == (40, 40, 40)
    np.testing.assert_allclose(wide.affine @ [4, 4, 4, 1], grid.affine @ [0, 0, 0, 1])
    np.testing.assert_allclose(wide.affine[:3, :3], grid.affine[:3, :3])
