import keras
import numpy as np
import pytest

from kits_core.network.checkpoint import load_network
from kits_core.network.encoder import Style, pyramid
from kits_core.network.unet import KITS_PRIORS, ResNetUNet
from kits_core.network.upsampled import UpsampledConv3D


@pytest.fixture(scope="module")
def tiny():
    keras.utils.set_random_seed(0)
    return ResNetUNet(shape=32, filters=4)


def test_probabilities_have_the_grid_of_the_input_and_sum_to_one(tiny):
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 32, 1)).astype(np.float32)
    y = tiny.predict_on_batch(x)
    assert y.shape == (2, 32, 32, 32, 3)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.sum(axis=-1), 1, atol=1e-5)


def test_an_untrained_network_gives_about_the_priors(tiny):
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 32, 1)).astype(np.float32)
    np.testing.assert_allclose(tiny.predict_on_batch(x).mean(axis=(0, 1, 2, 3)), KITS_PRIORS, rtol=0.5)


def test_the_pyramid_has_five_levels_at_strides_2_to_32():
    outputs = pyramid(keras.Input((64, 64, 64, 1)), filters=8, style=Style())
    assert {name: (x.shape[1], x.shape[-1]) for name, x in outputs.items()} == {
        "P1": (32, 8),
        "P2": (16, 8),
        "P3": (8, 16),
        "P4": (4, 32),
        "P5": (2, 64),
    }


def test_with_64_filters_it_is_the_resnet18_unet_of_the_reference():
    assert ResNetUNet(shape=32, filters=64).count_params() == 42_623_571


def test_its_multiply_adds_are_those_of_the_docstring():
    model = ResNetUNet(shape=32)
    macs = sum(
        int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:4]))
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv3D)
    )
    for layer in model.layers:
        if isinstance(layer, UpsampledConv3D):
            x, *skips = layer.input if isinstance(layer.input, list) else [layer.input]
            taps = 8 * x.shape[-1] + 27 * sum(skip.shape[-1] for skip in skips)
            macs += taps * int(np.prod(layer.output.shape[1:]))
    assert macs / 32**3 == 49_360
    assert pytest.approx(207e9, rel=0.01) == 2 * 49_360 * 128**3


@pytest.mark.parametrize("normalisation", ["group", "instance"])
def test_group_and_instance_normalisation_do_not_depend_on_the_batch(normalisation):
    model = ResNetUNet(shape=32, filters=12, normalisation=normalisation)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 32, 1)).astype(np.float32)
    np.testing.assert_allclose(model(x, training=True)[:1], model(x[:1], training=True), atol=1e-5)


def test_deep_supervision_adds_outputs_at_half_and_quarter_resolution():
    model = ResNetUNet(shape=32, filters=4, deep_supervision=True)
    assert [tuple(output.shape[1:]) for output in model.outputs] == [(32, 32, 32, 3), (16, 16, 16, 3), (8, 8, 8, 3)]


def test_a_network_of_16_bits_predicts_in_float32_on_a_cpu(tmp_path):
    model = ResNetUNet(shape=32, filters=4, policy="mixed_bfloat16", normalisation="group", deep_supervision=True)
    assert {layer.compute_dtype for layer in model.layers if isinstance(layer, keras.layers.Conv3D)} == {
        "bfloat16",
        "float32",  # the heads
    }
    model.save(tmp_path / "m.keras")
    again = load_network(tmp_path / "m.keras")
    assert again.policy == "float32"
    assert again.get_config() == {**model.get_config(), "policy": "float32"}
    for one, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_saved_and_loaded_in_safe_mode_it_predicts_the_same(tiny, tmp_path):
    x = np.ones((1, 32, 32, 32, 1), np.float32)
    tiny.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    assert isinstance(again, ResNetUNet)
    np.testing.assert_array_equal(again.predict_on_batch(x), tiny.predict_on_batch(x))


def test_a_shape_that_32_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of 32, got 48"):
        ResNetUNet(shape=48)


def test_a_seed_alone_decides_the_initial_weights():
    keras.utils.set_random_seed(1)
    first = ResNetUNet(shape=32, filters=4, seed=7).get_weights()
    again, other = (ResNetUNet(shape=32, filters=4, seed=seed).get_weights() for seed in (7, 8))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))
