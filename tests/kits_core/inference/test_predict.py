import numpy as np
import pytest

from kits_core.geometry import Volume
from kits_core.inference.predict import Segmenter, segment
from kits_core.phantom.dataset import kits_affine
from kits_core.recipe import Recipe

VOLUME = Recipe(shape=64, trim_air=False, mean_hu=0, deviation_hu=100, window_hu=(-1000, 1000))
KIDNEYS = VOLUME.model_copy(update={"frame": "kidneys", "margin_mm": 5.0})


class Threshold:
    """A network that calls bright voxels kidney and very bright ones tumour."""

    deep_supervision = False

    def predict_on_batch(self, images):
        x = images[..., 0]
        tumor, kidney = (x > 2).astype(np.float32), ((x > 1) & (x <= 2)).astype(np.float32)
        self.seen = x[0]
        return np.stack([1 - tumor - kidney, kidney, tumor], axis=-1)


class Blind(Threshold):
    """A network that finds nothing."""

    def predict_on_batch(self, images):
        return super().predict_on_batch(np.zeros_like(images))


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


def test_where_the_locator_finds_nothing_the_body_is_looked_at():
    scan, network = _scan(), Threshold()
    labels = segment("case_00000", scan, Segmenter(network, KIDNEYS), Segmenter(Blind(), VOLUME))
    assert (network.seen > 1).mean() < 0.15
    assert (labels != _expected(scan)).mean() < 0.02
    with pytest.raises(ValueError, match="needs one of the frame volume"):
        segment("case_00000", scan, Segmenter(Threshold(), KIDNEYS))
