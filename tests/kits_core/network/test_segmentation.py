import keras
import numpy as np
import pytest

from kits_core.network.checkpoint import load_network
from kits_core.network.segmentation import KITS_PRIORS, SegmentationNetwork


@pytest.fixture(scope="module")
def tiny():
    keras.utils.set_random_seed(0)
    return SegmentationNetwork(shape=32, filters=4)


def test_probabilities_have_the_grid_of_the_input_and_sum_to_one(tiny):
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 32, 1)).astype(np.float32)
    y = tiny.predict_on_batch(x)
    assert y.shape == (2, 32, 32, 32, 3)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.sum(axis=-1), 1, atol=1e-5)


def test_an_untrained_network_gives_about_the_priors(tiny):
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 32, 1)).astype(np.float32)
    np.testing.assert_allclose(tiny.predict_on_batch(x).mean(axis=(0, 1, 2, 3)), KITS_PRIORS, rtol=0.5)


@pytest.mark.parametrize("normalisation", ["group", "instance"])
def test_group_and_instance_normalisation_do_not_depend_on_the_batch(normalisation):
    model = SegmentationNetwork(shape=32, filters=12, normalisation=normalisation)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 32, 1)).astype(np.float32)
    np.testing.assert_allclose(model(x, training=True)[:1], model(x[:1], training=True), atol=1e-5)


def test_deep_supervision_adds_outputs_at_half_and_quarter_resolution():
    model = SegmentationNetwork(shape=32, filters=4, deep_supervision=True)
    assert [tuple(output.shape[1:]) for output in model.outputs] == [(32, 32, 32, 3), (16, 16, 16, 3), (8, 8, 8, 3)]


def test_a_network_of_16_bits_predicts_in_float32_on_a_cpu(tmp_path):
    model = SegmentationNetwork(
        shape=32, filters=4, policy="mixed_bfloat16", normalisation="group", deep_supervision=True
    )
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
    assert isinstance(again, SegmentationNetwork)
    np.testing.assert_array_equal(again.predict_on_batch(x), tiny.predict_on_batch(x))


def test_a_shape_that_32_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiple of 32, got 48"):
        SegmentationNetwork(shape=48)


def test_a_seed_alone_decides_the_initial_weights():
    keras.utils.set_random_seed(1)
    first = SegmentationNetwork(shape=32, filters=4, seed=7).get_weights()
    again, other = (SegmentationNetwork(shape=32, filters=4, seed=seed).get_weights() for seed in (7, 8))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_a_model_that_was_saved_before_architectures_had_names_is_the_resnet18_unet(tiny):
    older = {name: value for name, value in tiny.get_config().items() if name != "architecture"}
    assert SegmentationNetwork.from_config(older).get_config() == tiny.get_config()
    assert keras.saving.get_registered_name(SegmentationNetwork) == "kits>ResNetUNet"


def test_an_architecture_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"expected one of plain_unet, .*, got 'transformer'"):
        SegmentationNetwork(shape=32, architecture="transformer")
