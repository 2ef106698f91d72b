"""ResNet-18 in three dimensions, with named pyramid outputs.

He et al. 2016 (arXiv:1512.03385), table 1: a 7-wide stem of stride 2, a 3-wide max pooling of stride 2, and four stages
of two basic blocks each. Convolutions have no bias where a normalisation follows.
"""

import zlib
from collections.abc import Sequence
from typing import Any

from kits_core.network.backend import keras, layers

STAGES = 4
BLOCKS_PER_STAGE = 2
LARGEST_STRIDE = 32
"""Each side of the input must be a multiple of this."""

# A moving average over about 20 steps: a run of a few hundred steps would not fill Keras's default of 100 (0.99).
_MOMENTUM = 0.95


def pyramid(image: Any, filters: int, seed: int) -> dict[str, Any]:
    """The outputs `P1` to `P5` of the encoder, at strides 2, 4, 8, 16 and 32.

    `image`: Keras tensor `(batch, x, y, z, channels)`. `P1` and `P2` have `filters` channels, each later one twice as
    many as the one before. `seed`: of the initial weights.
    """
    # === Stem ===
    x = conv_norm(image, filters, kernel=7, strides=2, seed=seed, name="stem")
    x = layers.ReLU(name="stem_relu")(x)
    outputs = {"P1": x}
    x = layers.MaxPooling3D(3, strides=2, padding="same", name="stem_pool")(x)
    # === Stages ===
    for stage in range(STAGES):
        for block in range(BLOCKS_PER_STAGE):
            strides = 2 if stage > 0 and block == 0 else 1
            x = basic_block(x, filters * 2**stage, strides, seed=seed, name=f"stage{stage + 1}_block{block + 1}")
        outputs[f"P{stage + 2}"] = x
    return outputs


def basic_block(x: Any, filters: int, strides: int, *, seed: int, name: str) -> Any:
    """Two 3-wide convolutions and a shortcut, projected where the shape changes (option B of He et al.)."""
    shortcut = x
    if strides != 1 or x.shape[-1] != filters:
        shortcut = conv_norm(x, filters, kernel=1, strides=strides, seed=seed, name=f"{name}_shortcut")
    x = conv_norm(x, filters, kernel=3, strides=strides, seed=seed, name=f"{name}_1")
    x = layers.ReLU(name=f"{name}_1_relu")(x)
    x = conv_norm(x, filters, kernel=3, strides=1, seed=seed, name=f"{name}_2")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def conv_norm(x: Any, filters: int, *, kernel: int, strides: int, seed: int, name: str) -> Any:
    """A convolution without bias and the normalisation that makes the bias needless."""
    x = layers.Conv3D(
        filters,
        kernel,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.HeNormal(seed=layer_seed(seed, name)),
        name=f"{name}_conv",
    )(x)
    return layers.BatchNormalization(momentum=_MOMENTUM, epsilon=1e-5, name=f"{name}_norm")(x)


def layer_seed(seed: int, name: str) -> int:
    """A layer's own seed. Keras's default draws from Python's `random`, which other threads draw from too."""
    return zlib.crc32(f"{seed} {name}".encode())


def channels(filters: int) -> Sequence[int]:
    """Channels of `P1` to `P5`."""
    return [filters, *(filters * 2**stage for stage in range(STAGES))]
