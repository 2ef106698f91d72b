import keras
import numpy as np
import pytest

from kits_core.network.convolution import Conv3D, _in_planes, convolved


def _example(sides, channels, filters, taps):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, *sides, channels)).astype(np.float32)
    kernel = rng.normal(size=(taps, taps, taps, channels, filters)).astype(np.float32)
    return keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(kernel)


@pytest.mark.parametrize(
    ("sides", "channels", "taps", "stride", "padding"),
    [
        ((8, 6, 4), 2, 3, 1, "same"),
        ((8, 6, 4), 1, 7, 2, "same"),
        ((9, 7, 5), 3, 3, 2, "same"),
        ((4, 4, 4), 3, 1, 2, "same"),
        ((5, 4, 3), 2, 2, 1, "valid"),
    ],
)
def test_a_convolution_in_planes_is_the_one_in_space(sides, channels, taps, stride, padding):
    x, kernel = _example(sides, channels, 5, taps)
    expected = keras.ops.conv(x, kernel, strides=stride, padding=padding)
    for found in (_in_planes(x, kernel, stride, padding), convolved(x, kernel, stride, padding)):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(expected), rtol=1e-4, atol=1e-4
        )


def test_the_layer_is_kerass_and_its_weights_have_the_same_place_in_a_file(tmp_path):
    own, kerass = Conv3D(3, 3, strides=2), keras.layers.Conv3D(3, 3, strides=2, padding="same")
    models = [keras.Sequential([keras.Input((6, 6, 6, 2)), layer]) for layer in (own, kerass)]
    models[1].save_weights(tmp_path / "kerass.weights.h5")
    models[0].load_weights(tmp_path / "kerass.weights.h5")
    x, _ = _example((6, 6, 6), 2, 3, 3)
    first, second = (keras.ops.convert_to_numpy(model(x)) for model in models)
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_products_of_fewer_bits_leave_result_and_bias_in_float32():
    x, _ = _example((4, 4, 4), 4, 2, 3)
    layer = Conv3D(2, 3, arithmetic="bfloat16", bias_initializer=keras.initializers.Constant(1 / 3), dtype="float32")
    layer.build(x.shape)
    layer.kernel.assign(keras.ops.zeros(layer.kernel.shape))
    found = keras.ops.convert_to_numpy(layer(x))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, 1 / 3, rtol=1e-6)
