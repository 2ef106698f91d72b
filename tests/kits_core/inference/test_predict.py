import numpy as np
import pytest

from kits_core.geometry import Volume
from kits_core.inference.predict import Segmenter, predict_labels, segment
from kits_core.phantom.dataset import kits_affine
from kits_core.recipe import Recipe

VOLUME = Recipe(shape=64, trim_air=False, mean_hu=0, deviation_hu=100, window_hu=(-1000, 1000))
KIDNEYS = VOLUME.model_copy(update={"frame": "kidneys", "margin_mm": 5.0})


class Threshold:
    """A network that calls bright voxels kidney and very bright ones tumour."""

    def predict_on_batch(self, images):
        x = images[..., 0]
        tumor, kidney = (x > 2).astype(np.float32), ((x > 1) & (x <= 2)).astype(np.float32)
        self.seen = x[0]
        return np.stack([1 - tumor - kidney, kidney, tumor], axis=-1)


def _scan():
    hu = np.full((32, 64, 96), -100, np.int16)
    hu[8:20, 16:40, 16:48] = 150
    hu[12:18, 24:36, 24:40] = 300
    return Volume(hu, kits_affine((3.0, 1.0, 1.0)))


def _expected(scan):
    return np.where(scan.data > 200, 2, np.where(scan.data > 100, 1, 0))


def test_labels_come_back_to_the_scans_own_grid():
    scan = _scan()
    labels = segment("case_00000", scan, Segmenter(Threshold(), VOLUME))
    assert (labels.shape, labels.dtype) == (scan.shape, np.uint8)
    assert (labels != _expected(scan)).mean() < 0.02


def test_a_network_of_the_kidneys_sees_the_box_that_the_locator_finds():
    scan, network = _scan(), Threshold()
    labels = segment("case_00000", scan, Segmenter(network, KIDNEYS), Segmenter(Threshold(), VOLUME))
    assert (labels != _expected(scan)).mean() < 0.01
    # Of the box a good part is kidney; of the whole scan it is a twentieth.
    assert (network.seen > 1).mean() > 0.3


def test_where_the_locator_finds_nothing_nothing_is_labelled():
    scan = Volume(np.where(_scan().data > 0, 50, -100).astype(np.int16), kits_affine((3.0, 1.0, 1.0)))
    assert not segment("case_00000", scan, Segmenter(Threshold(), KIDNEYS), Segmenter(Threshold(), VOLUME)).any()
    with pytest.raises(ValueError, match="needs one of the frame volume"):
        segment("case_00000", scan, Segmenter(Threshold(), KIDNEYS))


def test_labels_on_the_networks_grid():
    image = np.array([0.0, 1.5, 3.0], np.float32).reshape(1, 1, 3)
    found = predict_labels(Threshold(), image)
    assert found.ravel().tolist() == [0, 1, 2]
    assert found.dtype == np.uint8
