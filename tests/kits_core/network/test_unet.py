import keras
import numpy as np
import pytest

from kits_core.network.encoder import pyramid
from kits_core.network.unet import KITS_PRIORS, ResNetUNet


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
    outputs = pyramid(keras.Input((64, 64, 64, 1)), filters=8, seed=0)
    assert {name: (x.shape[1], x.shape[-1]) for name, x in outputs.items()} == {
        "P1": (32, 8),
        "P2": (16, 8),
        "P3": (8, 16),
        "P4": (4, 32),
        "P5": (2, 64),
    }


def test_with_64_filters_it_is_the_resnet18_unet_of_the_reference():
    assert ResNetUNet(shape=32, filters=64).count_params() == 42_623_571


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
