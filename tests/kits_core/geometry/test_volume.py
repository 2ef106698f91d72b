import numpy as np
import pytest

from kits_core.geometry import Volume, read_volume, write_volume


def test_spacing_is_the_length_of_the_affine_columns_even_when_oblique():
    turn = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2.0, 3.0, 5.0])
    assert Volume(np.zeros((2, 2, 2)), affine).spacing_mm == pytest.approx((2, 3, 5))


@pytest.mark.parametrize("affine", [np.zeros((4, 4)), np.full((4, 4), np.nan), np.eye(3)])
def test_an_affine_that_places_nothing_is_refused(affine):
    with pytest.raises(ValueError, match="invertible 4x4"):
        Volume(np.zeros((2, 2, 2)), affine)


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
