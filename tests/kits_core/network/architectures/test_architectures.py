import keras
import numpy as np
import pytest

from kits_core.network.architectures import ARCHITECTURES
from kits_core.network.architectures.resnet18_unet import pyramid
from kits_core.network.segmentation import DEEP_STRIDES, SegmentationNetwork
from kits_core.network.style import Style
from kits_core.network.upsampled import UpsampledConv3D


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_every_architecture_gives_the_levels_that_get_heads(name):
    found = ARCHITECTURES[name](keras.Input((64, 64, 64, 1)), 4, 3, Style())
    assert {1, *DEEP_STRIDES} <= found.keys()
    for stride, features in found.items():
        assert features.shape[1:4] == (64 // stride,) * 3
        assert features.shape[-1] >= 3


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_every_architecture_can_be_saved_and_predicts_the_same(name, tmp_path):
    model = SegmentationNetwork(shape=32, filters=4, architecture=name, normalisation="instance", deep_supervision=True)
    image = np.random.default_rng(0).normal(size=(1, 32, 32, 32, 1)).astype(np.float32)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    for one, other in zip(again.predict_on_batch(image), model.predict_on_batch(image), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ARCHITECTURES.names())
def test_every_architecture_says_what_it_is(name):
    assert " U-Net " in ARCHITECTURES.title(name)


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
    assert SegmentationNetwork(shape=32, filters=64).count_params() == 42_623_571


def test_its_multiply_adds_are_those_of_the_docstring():
    model = SegmentationNetwork(shape=32)
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


def _convolutions(model, part):
    names = [layer.name for layer in model.layers if layer.name.endswith("_conv") and layer.name.startswith(part)]
    return len([name for name in names if not name.endswith("_shortcut_conv")])


@pytest.mark.parametrize(("shape", "coarsest"), [(32, 4), (64, 4), (96, 6), (128, 4)])
def test_nnu_nets_networks_halve_the_grid_until_a_side_has_4_to_7_voxels(shape, coarsest):
    """nnU-Net's `get_pool_and_conv_props`: while half a side has at least 4 voxels, and at most five times."""
    model = SegmentationNetwork(shape=shape, filters=4, architecture="plain_unet")
    sides = [layer.output.shape[1] for layer in model.layers if layer.name.startswith("encoder")]
    assert min(sides) == coarsest


def test_nnu_nets_networks_have_its_proportions():
    plain = SegmentationNetwork(shape=128, filters=4, architecture="plain_unet")
    widths = [layer.output.shape[-1] for layer in plain.layers if layer.name.endswith("_2_conv")]
    assert widths == [4, 8, 16, 32, 40, 40, 40, 32, 16, 8, 4]
    assert (_convolutions(plain, "encoder"), _convolutions(plain, "decoder")) == (12, 10)
    residual = SegmentationNetwork(shape=128, filters=4, architecture="residual_unet")
    blocks = 1 + 3 + 4 + 6 + 6 + 6
    assert (_convolutions(residual, "encoder"), _convolutions(residual, "decoder")) == (2 * blocks, 5)
