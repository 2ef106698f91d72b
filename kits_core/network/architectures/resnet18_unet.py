"""A 3-D U-Net on a ResNet-18 encoder.

U-Net: Ronneberger et al. 2015. Encoder: He et al. 2016 (arXiv:1512.03385), table 1: a 7-wide stem of stride 2, a 3-wide
max pooling of stride 2, and four stages of two basic blocks each. Convolutions have no bias where a normalisation
follows. The decoder doubles the grid five times, and is joined by four skips.

With 64 filters and 3 classes it has 42,623,571 parameters and takes 49,360 multiply-adds a voxel of its input, 207
GFLOP forward for one sample at 128³ and about three times that for a training step. By hand, k³ × channels in ×
channels out / stride³ of every convolution, k³ being 8 for what `UpsampledConv3D` enlarges:

    stem     343·1·64/2³                                                                         2,744
    stage 1  4·27·64·64/4³                                                                       6,912
    stage 2  (27·64·128 + 3·27·128·128 + 64·128)/8³; stage 3 half of that; stage 4 a quarter     5,320
    decoder  (27·768·256 + 27·256²)/16³ + (27·384·128 + 27·128²)/8³                              5,184
             (8·128·64 + 27·64·64 + 27·64²)/4³ + (8·64·32 + 27·64·32 + 27·32²)/2³               16,896
             8·32·16 + 27·16²                                                                   11,008
    head     27·16·3                                                                             1,296
"""

from typing import Any

from kits_core.network.backend import layers
from kits_core.network.style import Style

STAGES = 4
BLOCKS_PER_STAGE = 2

_SKIPS = ("P4", "P3", "P2", "P1")
_FOLDED_FROM = 2
"""Level of the decoder from which on `UpsampledConv3D` saves time; before, kernels outweigh what they convolve."""


def levels(image: Any, filters: int, classes: int, style: Style) -> dict[int, Any]:
    """The decoder's features by their stride, 16 to 1. `filters`: channels of the stem; 64 is ResNet-18."""
    return _decode(pyramid(image, filters, style), filters, classes, style)


def pyramid(image: Any, filters: int, style: Style) -> dict[str, Any]:
    """The outputs `P1` to `P5` of the encoder, at strides 2, 4, 8, 16 and 32.

    `image`: Keras tensor `(batch, x, y, z, channels)`. `P1` and `P2` have `filters` channels, each later one twice as
    many as the one before.
    """
    # === Stem ===
    x = style.conv_norm_relu(image, filters, kernel=7, strides=2, name="stem")
    outputs = {"P1": x}
    x = layers.MaxPooling3D(3, strides=2, padding="same", dtype=style.policy, name="stem_pool")(x)
    # === Stages ===
    for stage in range(STAGES):
        for block in range(BLOCKS_PER_STAGE):
            strides = 2 if stage > 0 and block == 0 else 1
            x = basic_block(x, filters * 2**stage, strides, style, name=f"stage{stage + 1}_block{block + 1}")
        outputs[f"P{stage + 2}"] = x
    return outputs


def basic_block(x: Any, filters: int, strides: int, style: Style, *, name: str) -> Any:
    """Two 3-wide convolutions and a shortcut, projected where the shape changes (option B of He et al.)."""
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = style.conv_norm(x, filters, kernel=1, strides=strides, name=f"{name}_shortcut")
    x = style.conv_norm_relu(x, filters, kernel=3, strides=strides, name=f"{name}_1")
    x = style.conv_norm(x, filters, kernel=3, strides=1, name=f"{name}_2")
    x = layers.Add(dtype=style.policy, name=f"{name}_add")([x, shortcut])
    return layers.ReLU(dtype=style.policy, name=f"{name}_relu")(x)


def _decode(features: dict[str, Any], filters: int, classes: int, style: Style) -> dict[int, Any]:
    """The decoder's features by their stride, 16 to 1."""
    x, decoded = features["P5"], {}
    for level in range(5):
        name = f"decoder{level + 1}"
        skips = [features[skip] for skip in _SKIPS[level : level + 1]]
        width = max(filters * 4 // 2**level, classes)
        if level < _FOLDED_FROM:
            x = layers.UpSampling3D(2, dtype=style.policy, name=f"{name}_up")(x)
            x = layers.Concatenate(dtype=style.policy, name=f"{name}_skip")([x, *skips])
            x = style.conv_norm_relu(x, width, kernel=3, strides=1, name=f"{name}_1")
        else:
            x = style.upsampled_conv_norm_relu([x, *skips], width, name=f"{name}_1")
        x = style.conv_norm_relu(x, width, kernel=3, strides=1, name=f"{name}_2")
        decoded[2 ** (4 - level)] = x
    return decoded
