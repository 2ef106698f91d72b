import itertools

import numpy as np
import pytest

from kits_core.geometry import Volume, read_volume, voxels_sha256, write_volume


def test_spacing_is_the_length_of_the_affine_columns_even_when_oblique():
    turn = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2.0, 3.0, 5.0])
    assert Volume(np.zeros((2, 2, 2)), affine).spacing_mm == pytest.approx((2, 3, 5))


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.eye(3)])
def test_an_affine_that_places_nothing_is_refused(affine):
    with pytest.raises(ValueError, match="invertible 4x4"):
        Volume(np.zeros((2, 2, 2)), affine)


def _every_turn(volume):
    """The same voxels in the same places, in all 48 orders of axes and directions."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            data, affine = volume.data.transpose(order), volume.affine[:, [*order, 3]].copy()
            for axis, sign in enumerate(signs):
                if sign < 0:
                    data = np.flip(data, axis)
                    affine[:3, 3] += affine[:3, axis] * (data.shape[axis] - 1)
                    affine[:3, axis] *= -1
            yield Volume(data, affine)


def test_an_image_is_the_same_in_whatever_order_a_tool_saved_it():
    data = np.random.default_rng(0).integers(-1000, 1000, (3, 20, 18)).astype(np.int16)
    affine = np.array([[0, 0.1, -0.7, 5], [0.1, -0.8, 0, 6], [-3, 0, 0, 7], [0, 0, 0, 1.0]])
    one = Volume(data, affine)
    assert {voxels_sha256(other) for other in _every_turn(one)} == {voxels_sha256(one)}
    mirrored = Volume(data[::-1], affine)
    changed = data.copy()
    changed[0, 0, 0] += 1
    assert len({voxels_sha256(volume) for volume in (one, mirrored, Volume(changed, affine))}) == 3


def test_four_axes_are_refused():
    with pytest.raises(ValueError, match="3 axes"):
        Volume(np.zeros((2, 2, 2, 2)), np.eye(4))


def test_a_written_volume_reads_back_the_same_and_is_memory_mapped(tmp_path):
    data = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = np.array([[0, 0, -0.5, 7], [0, 0.5, 0, 8], [3, 0, 0, 9], [0, 0, 0, 1.0]])
    write_volume(tmp_path / "v.nii", Volume(data, affine))
    read = read_volume(tmp_path / "v.nii")
    assert isinstance(read.data, np.memmap)
    assert read.data.dtype == np.int16
    np.testing.assert_array_equal(read.data, data)
    np.testing.assert_array_equal(read.affine, affine)
