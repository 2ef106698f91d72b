"""The 3-D U-Net on a ResNet-18 encoder."""

import math
from collections.abc import Sequence
from typing import Any

from kits_core.network.backend import keras, layers
from kits_core.network.convolution import Conv3D
from kits_core.network.encoder import LARGEST_STRIDE, Normalisation, Style, layer_seed, pyramid

KITS_PRIORS = (0.9919, 0.0063, 0.0018)
"""Share of background, kidney and tumour among the voxels of the 489 KiTS23 segmentations, cysts as background."""

DEEP_STRIDES = (2, 4)
"""Strides of the outputs that deep supervision adds."""

_SKIPS = ("P4", "P3", "P2", "P1")
_FOLDED_FROM = 2
"""Level of the decoder from which on `UpsampledConv3D` saves time; before, kernels outweigh what they convolve."""


@keras.saving.register_keras_serializable(package="kits")
class _LogPriors(keras.initializers.Initializer):
    """A head's bias such that an untrained network gives each class its prior probability."""

    def __init__(self, priors: Sequence[float]) -> None:
        self.priors = tuple(priors)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:  # noqa: ARG002 - Keras's signature
        return keras.ops.convert_to_tensor([math.log(prior) for prior in self.priors], dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"priors": list(self.priors)}


@keras.saving.register_keras_serializable(package="kits")
class ResNetUNet(keras.Model):
    """U-Net (Ronneberger et al. 2015) on `encoder.pyramid`: five doublings, the first four joined by a skip.

    Takes float32 `(batch, shape, shape, shape, 1)`, standardised; gives softmax probabilities of
    `(batch, shape, shape, shape, classes)`, always float32. With deep supervision it gives a list: those, and the same
    at half and at a quarter of the resolution.

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

    Args:
        shape: voxels along each side, a multiple of 32.
        filters: channels of the stem; 64 is ResNet-18.
        priors: share of each class among the voxels, background first. The head starts from them (Lin et al. 2017,
            arXiv:1708.02002, 4.1): started from equal shares, the loss is all false alarms, and a class as rare as a
            tumour saturates at zero before it is learnt.
        normalisation: see `encoder.Style`.
        deep_supervision: whether coarser levels of the decoder have outputs too (Lee et al. 2015, arXiv:1409.5185).
        policy: Keras's dtype policy of all layers but the heads, whose results are float32.
        seed: of the initial weights.

    Raises `ValueError` for a shape that 32 does not divide.
    """

    def __init__(
        self,
        shape: int,
        filters: int = 64,
        priors: Sequence[float] = KITS_PRIORS,
        normalisation: Normalisation = "batch",
        *,
        deep_supervision: bool = False,
        policy: str = "float32",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        if shape % LARGEST_STRIDE:
            raise ValueError(f"shape must be a multiple of {LARGEST_STRIDE}, got {shape}")
        # === Functional model ===
        style = Style(normalisation, policy, seed)
        image = keras.Input((shape, shape, shape, 1), name="image")
        levels = _decode(pyramid(image, filters, style), filters, len(priors), style)
        outputs = [_head(levels[1], priors, style, "")]
        if deep_supervision:
            outputs += [_head(levels[stride], priors, style, f"_{stride}") for stride in DEEP_STRIDES]
        super().__init__(inputs=image, outputs=outputs if deep_supervision else outputs[0], **kwargs)
        # === Config ===
        self.shape, self.filters, self.priors, self.seed = shape, filters, tuple(priors), seed
        self.normalisation, self.deep_supervision, self.policy = normalisation, deep_supervision, policy

    def get_config(self) -> dict[str, Any]:
        """The arguments that build the same network again."""
        return {
            "shape": self.shape,
            "filters": self.filters,
            "priors": list(self.priors),
            "normalisation": self.normalisation,
            "deep_supervision": self.deep_supervision,
            "policy": self.policy,
            "seed": self.seed,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ResNetUNet":  # noqa: ARG003
        """The network that `get_config` describes (a functional model's own `from_config` would expect its graph)."""
        return cls(**config)


def _decode(features: dict[str, Any], filters: int, classes: int, style: Style) -> dict[int, Any]:
    """The decoder's features by their stride, 16 to 1."""
    x, levels = features["P5"], {}
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
        levels[2 ** (4 - level)] = x
    return levels


def _head(x: Any, priors: Sequence[float], style: Style, suffix: str) -> Any:
    """Class probabilities, in float32 whatever the policy of the rest, which is that of the products summed up."""
    seed = layer_seed(style.seed, f"logits{suffix}")
    logits = Conv3D(
        len(priors),
        3,
        arithmetic=x.dtype,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=seed),
        bias_initializer=_LogPriors(priors),
        dtype="float32",
        name=f"logits{suffix}",
    )(x)
    return layers.Softmax(dtype="float32", name=f"probabilities{suffix}")(logits)
