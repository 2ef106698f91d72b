import keras
import numpy as np

from kits_core.network.initial import SeededNormal
from kits_core.network.segmentation import SegmentationNetwork


def _drawn(*args, shape=(3, 3, 3, 8, 16), **kwargs):
    return keras.ops.convert_to_numpy(SeededNormal(*args, **kwargs)(shape))


def test_a_seed_gives_the_values_that_it_gives_under_every_backend():
    np.testing.assert_array_equal(
        _drawn(5), np.random.default_rng(5).normal(0, (2 / 216) ** 0.5, (3, 3, 3, 8, 16)).astype("float32")
    )
    assert (_drawn(5) != _drawn(6)).all()


def test_they_keep_the_variance_of_what_a_relu_lets_through():
    assert abs(_drawn(1, shape=(3, 3, 3, 64, 64)).std() / (2 / (27 * 64)) ** 0.5 - 1) < 0.01
    assert abs(_drawn(1, 0.01, shape=(3, 3, 3, 64, 64)).std() / 0.01 - 1) < 0.01


def test_it_is_made_again_from_its_configuration():
    first = SeededNormal(3, stddev=0.5)
    again = keras.initializers.deserialize(keras.initializers.serialize(first))
    np.testing.assert_array_equal(first((2, 4)), again((2, 4)))


def test_a_network_has_one_set_of_weights_for_a_seed():
    """The sum was written down under TensorFlow; this is run under JAX too."""
    weights = SegmentationNetwork(shape=32, filters=4, seed=3).get_weights()
    assert abs(sum(float(np.abs(array).astype("float64").sum()) for array in weights) - 8708.0052) < 1e-3
