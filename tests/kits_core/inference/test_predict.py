import numpy as np

from kits_core.geometry import GridMap, Volume, read_volume
from kits_core.inference.predict import predict_labels, segment
from kits_core.phantom.dataset import kits_affine


class Threshold:
    """A network that calls bright voxels kidney and very bright ones tumour."""

    def predict_on_batch(self, images):
        x = images[..., 0]
        tumor, kidney = (x > 2).astype(np.float32), ((x > 1) & (x <= 2)).astype(np.float32)
        return np.stack([1 - tumor - kidney, kidney, tumor], axis=-1)


def test_labels_come_back_to_the_scans_own_grid_and_file(tmp_path):
    affine = kits_affine((3.0, 1.0, 1.0))
    scan = np.zeros((16, 32, 64), np.float32)
    scan[2:6, 4:12, 8:24] = 1.5
    scan[3:5, 6:10, 30:40] = 3.0
    grid = GridMap.whole(Volume(scan, affine), (64, 32, 16))
    on_grid = scan.transpose(2, 1, 0)[::-1, ::-1, ::-1]
    labels = segment(Threshold(), on_grid, grid, tmp_path / "p.nii")
    np.testing.assert_array_equal(labels, np.where(scan > 2, 2, np.where(scan > 1, 1, 0)))
    written = read_volume(tmp_path / "p.nii")
    np.testing.assert_array_equal(written.data, labels)
    np.testing.assert_array_equal(written.affine, affine)


def test_labels_on_the_networks_grid():
    image = np.array([0.0, 1.5, 3.0], np.float32).reshape(1, 1, 3)
    found = predict_labels(Threshold(), image)
    assert found.ravel().tolist() == [0, 1, 2]
    assert found.dtype == np.uint8
