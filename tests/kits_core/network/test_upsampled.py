import keras
import numpy as np
import pytest

from kits_core.network.upsampled import UpsampledConv3D

_SIDES = (3, 4, 5)


def _by_hand(x, skips, kernel):
    """The enlarged and joined tensor, and its convolution as a sum over taps, in float64."""
    joined = np.concatenate([x.repeat(2, 1).repeat(2, 2).repeat(2, 3), *skips], axis=-1).astype(np.float64)
    padded = np.pad(joined, [(0, 0), (1, 1), (1, 1), (1, 1), (0, 0)])
    i, j, k = joined.shape[1:4]
    taps = [(a, b, c) for a in range(3) for b in range(3) for c in range(3)]
    return sum(padded[:, a : a + i, b : b + j, c : c + k] @ kernel[a, b, c].astype(np.float64) for a, b, c in taps)


def _example(skip_channels):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *_SIDES, 6)).astype(np.float32)
    skips = [rng.normal(size=(2, *(2 * side for side in _SIDES), n)).astype(np.float32) for n in skip_channels]
    layer = UpsampledConv3D(5)
    layer.build([array.shape for array in (x, *skips)])
    return x, skips, layer


@pytest.mark.parametrize("skip_channels", [[], [4]])
def test_it_is_the_convolution_of_the_enlarged_and_joined_tensor(skip_channels):
    x, skips, layer = _example(skip_channels)
    found = keras.ops.convert_to_numpy(layer([x, *skips]))
    np.testing.assert_allclose(found, _by_hand(x, skips, keras.ops.convert_to_numpy(layer.kernel)), atol=1e-4)


def test_it_learns_what_the_layers_that_it_replaces_learn():
    x, skips, layer = _example([4])
    target = np.random.default_rng(1).normal(size=(2, *(2 * side for side in _SIDES), 5)).astype(np.float32)
    inputs = [keras.Input((*_SIDES, 6)), keras.Input((*(2 * side for side in _SIDES), 4))]
    plain = keras.layers.Conv3D(5, 3, padding="same", use_bias=False)
    joined = keras.layers.Concatenate()([keras.layers.UpSampling3D(2)(inputs[0]), inputs[1]])
    models = [keras.Model(inputs, layer(inputs)), keras.Model(inputs, plain(joined))]
    plain.kernel.assign(keras.ops.convert_to_numpy(layer.kernel))
    for model in models:
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
        model.train_on_batch([x, *skips], target)
    learnt, expected = (keras.ops.convert_to_numpy(one.kernel) for one in (layer, plain))
    np.testing.assert_allclose(learnt, expected, atol=1e-5)


def test_its_shape_is_known_before_it_runs():
    assert UpsampledConv3D(5)([keras.Input((4, 4, None, 6)), keras.Input((8, 8, None, 2))]).shape == (
        None,
        8,
        8,
        None,
        5,
    )


def test_it_is_built_again_from_its_configuration():
    again = UpsampledConv3D.from_config(UpsampledConv3D(5, kernel_initializer="zeros", name="up").get_config())
    assert (again.filters, again.name, type(again.kernel_initializer).__name__) == (5, "up", "Zeros")
