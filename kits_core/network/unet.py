"""The 3-D U-Net on a ResNet-18 encoder."""

import math
from collections.abc import Sequence
from typing import Any

from kits_core.network.backend import keras, layers
from kits_core.network.encoder import LARGEST_STRIDE, conv_norm, layer_seed, pyramid

KITS_PRIORS = (0.9919, 0.0063, 0.0018)
"""Share of background, kidney and tumour among the voxels of the 489 KiTS23 segmentations, cysts as background."""

_SKIPS = ("P4", "P3", "P2", "P1")


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
    `(batch, shape, shape, shape, classes)`, always float32.

    Args:
        shape: voxels along each side, a multiple of 32.
        filters: channels of the stem; 64 is ResNet-18, which makes 42.6 million parameters in all.
        priors: share of each class among the voxels, background first. The head starts from them (Lin et al. 2017,
            arXiv:1708.02002, 4.1): started from equal shares, the loss is all false alarms, and a class as rare as a
            tumour saturates at zero before it is learnt.
        seed: of the initial weights.

    Raises `ValueError` for a shape that 32 does not divide.
    """

    def __init__(
        self, shape: int, filters: int = 64, priors: Sequence[float] = KITS_PRIORS, seed: int = 0, **kwargs: Any
    ) -> None:
        if shape % LARGEST_STRIDE:
            raise ValueError(f"shape must be a multiple of {LARGEST_STRIDE}, got {shape}")
        # === Functional model ===
        image = keras.Input((shape, shape, shape, 1), name="image")
        features = pyramid(image, filters, seed)
        x = features["P5"]
        for level in range(5):
            x = layers.UpSampling3D(2, name=f"decoder{level + 1}_up")(x)
            if level < len(_SKIPS):
                x = layers.Concatenate(name=f"decoder{level + 1}_skip")([x, features[_SKIPS[level]]])
            for step in (1, 2):
                width = max(filters * 4 // 2**level, len(priors))
                x = conv_norm(x, width, kernel=3, strides=1, seed=seed, name=f"decoder{level + 1}_{step}")
                x = layers.ReLU(name=f"decoder{level + 1}_{step}_relu")(x)
        x = layers.Conv3D(
            len(priors),
            3,
            padding="same",
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01, seed=layer_seed(seed, "logits")),
            bias_initializer=_LogPriors(priors),
            dtype="float32",
            name="logits",
        )(x)
        probabilities = layers.Softmax(dtype="float32", name="probabilities")(x)
        super().__init__(inputs=image, outputs=probabilities, **kwargs)
        # === Config ===
        self.shape, self.filters, self.priors, self.seed = shape, filters, tuple(priors), seed

    def get_config(self) -> dict[str, Any]:
        """The arguments that build the same network again."""
        return {
            "shape": self.shape,
            "filters": self.filters,
            "priors": list(self.priors),
            "seed": self.seed,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ResNetUNet":  # noqa: ARG003
        """The network that `get_config` describes (a functional model's own `from_config` would expect its graph)."""
        return cls(**config)
