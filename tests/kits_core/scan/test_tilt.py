import numpy as np
import pytest

from kits_core.scan.dicom import stack_of
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan
from kits_core.scan.tilt import slices_of

_SHAPE, _STEP_MM = (30, 26, 16), 2.0


def _tilted(degrees):
    """An affine whose slices go up and, by the tilt, to the front (row axis: -0.8 mm of R, column axis: -0.7 of A)."""
    back = -_STEP_MM * np.tan(np.radians(degrees))
    return np.array([[-0.8, 0, 0, 9], [0, -0.7, back, 5], [0, 0, _STEP_MM, -100], [0, 0, 0, 1.0]])


def _world(affine, shape):
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def _ramp(world):
    """HU that grow along every direction, so that any voxel in a wrong place is seen."""
    return 200 + world @ [3.0, 4.0, 2.0]


def _write(folder, dicom, degrees):
    affine = _tilted(degrees)
    stored = np.rint(_ramp(_world(affine, _SHAPE))).astype(np.int32) + 1024
    stored[:, :2] = 24  # air, as some of it is in every scan
    dicom.series(folder, stored, affine)
    return find_scans([folder]).scans[0]


@pytest.mark.parametrize("degrees", [-21.3, 4.0, 15.0])
def test_every_voxel_of_the_upright_grid_is_where_it_was_in_the_patient(tmp_path, dicom, degrees):
    read = read_scan(_write(tmp_path / "d", dicom, degrees))
    volume = read.volume
    axes = volume.affine[:3, :3] / volume.spacing_mm
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert volume.spacing_mm == pytest.approx((0.8, 0.7, _STEP_MM))
    assert f"gantry tilt of {abs(degrees):.1f}°" in read.notes[-1]
    world = _world(volume.affine, volume.shape)
    inside = np.linalg.inv(_tilted(degrees))
    index = world @ inside[:3, :3].T + inside[:3, 3]
    was = ((index > [-1e-6, 2 - 1e-6, -1e-6]) & (index < np.array(_SHAPE) - 1 + 1e-6)).all(axis=-1)
    assert was.sum() >= _SHAPE[0] * (_SHAPE[1] - 3) * _SHAPE[2]  # nothing is cut off
    assert np.abs(volume.data[was] - _ramp(world)[was]).max() <= 1.0  # rounded to whole HU twice
    far = ((index < -1) | (index > np.array(_SHAPE))).any(axis=-1)
    assert (volume.data[far] == -1000).all()
    assert far.any()


def test_labels_go_back_onto_the_slices(tmp_path, dicom):
    scan = _write(tmp_path / "d", dicom, 15.0)
    stack, volume = stack_of(scan), read_scan(scan).volume
    world = _world(volume.affine, volume.shape)
    ball = (np.linalg.norm(world - [-2.0, -8.0, -85.0], axis=-1) < 6).astype(np.uint8)
    back = np.stack(list(slices_of(ball, stack)), axis=-1)  # row, column, slice
    there = np.linalg.norm(_world(stack.affine, _SHAPE) - [-2.0, -8.0, -85.0], axis=-1)
    again = back.transpose(1, 0, 2) > 0
    assert again.any()
    assert again[there < 6 - 0.36].all()  # half a row of 0.7 mm is the most that the nearest pixel is off
    assert not again[there > 6 + 0.36].any()


def test_a_drift_of_less_than_half_a_pixel_stays_in_the_affine(tmp_path, dicom):
    scan = _write(tmp_path / "d", dicom, 0.6)
    assert stack_of(scan).tilt_deg == pytest.approx(0.6, abs=1e-3)
    read = read_scan(scan)
    assert "tilt" not in " ".join(read.notes)
    np.testing.assert_allclose(read.volume.affine, _tilted(0.6), atol=1e-4)
