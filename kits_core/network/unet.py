"""The 3-D U-Net on a ResNet-18 encoder."""

from typing import Any

import keras
from keras import layers

from kits_core.network.encoder import LARGEST_STRIDE, conv_norm, pyramid

_SKIPS = ("P4", "P3", "P2", "P1")


@keras.saving.register_keras_serializable(package="kits")
class ResNetUNet(keras.Model):
    """U-Net (Ronneberger et al. 2015) on `encoder.pyramid`: five doublings, the first four joined by a skip.

    Takes float32 `(batch, shape, shape, shape, 1)`, standardised; gives softmax probabilities of
    `(batch, shape, shape, shape, classes)`, always float32.

    Args:
        shape: voxels along each side, a multiple of 32.
        filters: channels of the stem; 64 is ResNet-18, which makes 42.6 million parameters in all.
        classes: background included.

    Raises `ValueError` for a shape that 32 does not divide.
    """

    def __init__(self, shape: int, filters: int = 64, classes: int = 3, **kwargs: Any) -> None:
        if shape % LARGEST_STRIDE:
            raise ValueError(f"shape must be a multiple of {LARGEST_STRIDE}, got {shape}")
        # === Functional model ===
        image = keras.Input((shape, shape, shape, 1), name="image")
        features = pyramid(image, filters)
        x = features["P5"]
        for level in range(5):
            x = layers.UpSampling3D(2, name=f"decoder{level + 1}_up")(x)
            if level < len(_SKIPS):
                x = layers.Concatenate(name=f"decoder{level + 1}_skip")([x, features[_SKIPS[level]]])
            for step in (1, 2):
                width = max(filters * 4 // 2**level, classes)
                x = conv_norm(x, width, kernel=3, strides=1, name=f"decoder{level + 1}_{step}")
                x = layers.ReLU(name=f"decoder{level + 1}_{step}_relu")(x)
        x = layers.Conv3D(classes, 3, padding="same", dtype="float32", name="logits")(x)
        probabilities = layers.Softmax(dtype="float32", name="probabilities")(x)
        super().__init__(inputs=image, outputs=probabilities, **kwargs)
        # === Config ===
        self.shape, self.filters, self.classes = shape, filters, classes

    def get_config(self) -> dict[str, Any]:
        """The arguments that build the same network again."""
        return {
            "shape": self.shape,
            "filters": self.filters,
            "classes": self.classes,
            "name": self.name,
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ResNetUNet":  # noqa: ARG003
        """The network that `get_config` describes (a functional model's own `from_config` would expect its graph)."""
        return cls(**config)
