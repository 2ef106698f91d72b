"""The network that is trained: an architecture's features, and the heads that make classes of them."""

import math
from collections.abc import Sequence
from typing import Any

from kits_core.network.architectures import ARCHITECTURES
from kits_core.network.backend import keras, layers
from kits_core.network.convolution import Conv3D
from kits_core.network.initial import SeededNormal
from kits_core.network.style import Normalisation, Style, layer_seed

KITS_PRIORS = (0.9919, 0.0063, 0.0018)
"""Share of background, kidney and tumour among the voxels of the 489 KiTS23 segmentations, cysts as background."""

LARGEST_STRIDE = 32
"""Each side of the input must be a multiple of this."""

DEEP_STRIDES = (2, 4)
"""Strides of the outputs that deep supervision adds."""


@keras.saving.register_keras_serializable(package="kits")
class _LogPriors(keras.initializers.Initializer):
    """A head's bias such that an untrained network gives each class its prior probability."""

    def __init__(self, priors: Sequence[float]) -> None:
        self.priors = tuple(priors)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:  # noqa: ARG002 - Keras's signature
        return keras.ops.convert_to_tensor([math.log(prior) for prior in self.priors], dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        return {"priors": list(self.priors)}


@keras.saving.register_keras_serializable(package="kits", name="ResNetUNet")  # its first name, which saved models have
class SegmentationNetwork(keras.Model):
    """A network of one of the `architectures`.

    Takes float32 `(batch, shape, shape, shape, 1)`, standardised; gives softmax probabilities of
    `(batch, shape, shape, shape, classes)`, always float32. With deep supervision it gives a list: those, and the same
    at half and at a quarter of the resolution.

    Args:
        shape: voxels along each side, a multiple of 32.
        filters: channels of the first level; what they mean is the architecture's.
        priors: share of each class among the voxels, background first. The head starts from them (Lin et al. 2017,
            arXiv:1708.02002, 4.1): started from equal shares, the loss is all false alarms, and a class as rare as a
            tumour saturates at zero before it is learnt.
        architecture: name of one.
        normalisation: see `style.Style`.
        deep_supervision: whether coarser levels of the decoder have outputs too (Lee et al. 2015, arXiv:1409.5185).
        policy: Keras's dtype policy of all layers but the heads, whose results are float32.
        seed: of the initial weights.

    Raises `ValueError` for a shape that 32 does not divide, and for an architecture that is not there.
    """

    def __init__(
        self,
        shape: int,
        filters: int = 64,
        priors: Sequence[float] = KITS_PRIORS,
        normalisation: Normalisation = "batch",
        *,
        architecture: str = "resnet18_unet",
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
        levels = ARCHITECTURES[architecture](image, filters, len(priors), style)
        outputs = [_head(levels[1], priors, style, "")]
        if deep_supervision:
            outputs += [_head(levels[stride], priors, style, f"_{stride}") for stride in DEEP_STRIDES]
        super().__init__(inputs=image, outputs=outputs if deep_supervision else outputs[0], **kwargs)
        # === Config ===
        self.shape, self.filters, self.priors, self.seed = shape, filters, tuple(priors), seed
        self.architecture, self.normalisation = architecture, normalisation
        self.deep_supervision, self.policy = deep_supervision, policy

    def get_config(self) -> dict[str, Any]:
        """The arguments that build the same network again."""
        return {
            "shape": self.shape,
            "filters": self.filters,
            "priors": list(self.priors),
            "architecture": self.architecture,
            "normalisation": self.normalisation,
            "deep_supervision": self.deep_supervision,
            "policy": self.policy,
            "seed": self.seed,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "SegmentationNetwork":  # noqa: ARG003
        """The network that `get_config` describes (a functional model's own `from_config` would expect its graph)."""
        return cls(**config)


def _head(x: Any, priors: Sequence[float], style: Style, suffix: str) -> Any:
    """Class probabilities, in float32 whatever the policy of the rest, which is that of the products summed up."""
    logits = Conv3D(
        len(priors),
        3,
        arithmetic=x.dtype,
        kernel_initializer=SeededNormal(layer_seed(style.seed, f"logits{suffix}"), stddev=0.01),
        bias_initializer=_LogPriors(priors),
        dtype="float32",
        name=f"logits{suffix}",
    )(x)
    return layers.Softmax(dtype="float32", name=f"probabilities{suffix}")(logits)
