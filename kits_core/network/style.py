"""What the layers of a network have in common, whatever its architecture."""

import math
import zlib
from dataclasses import dataclass
from typing import Any, Literal

from kits_core.network.backend import layers
from kits_core.network.convolution import Conv3D
from kits_core.network.initial import SeededNormal
from kits_core.network.upsampled import UpsampledConv3D

Normalisation = Literal["batch", "group", "instance"]

# A moving average over about 20 steps: a run of a few hundred steps would not fill Keras's default of 100 (0.99).
_MOMENTUM = 0.95
_GROUPS = 4


@dataclass(frozen=True)
class Style:
    """What all layers of a network have in common.

    Args:
        normalisation: `batch` (Ioffe & Szegedy 2015), `group` (Wu & He 2018, 4 groups) or `instance` (Ulyanov et al.
            2016); the last two do not depend on the batch.
        policy: Keras's dtype policy: `float32`, `mixed_bfloat16` or `mixed_float16`.
        seed: of the initial weights.
    """

    normalisation: Normalisation = "batch"
    policy: str = "float32"
    seed: int = 0

    def conv_norm(self, x: Any, filters: int, *, kernel: int, strides: int, name: str) -> Any:
        """A convolution without bias and the normalisation that makes the bias needless."""
        x = Conv3D(
            filters,
            kernel,
            strides=strides,
            use_bias=False,
            kernel_initializer=SeededNormal(layer_seed(self.seed, name)),
            dtype=self.policy,
            name=f"{name}_conv",
        )(x)
        return self._normalised(x, f"{name}_norm")

    def conv_norm_relu(self, x: Any, filters: int, *, kernel: int, strides: int, name: str) -> Any:
        """The same, and a ReLU."""
        x = self.conv_norm(x, filters, kernel=kernel, strides=strides, name=name)
        return layers.ReLU(dtype=self.policy, name=f"{name}_relu")(x)

    def upsampled_conv_norm_relu(self, inputs: list[Any], filters: int, *, name: str) -> Any:
        """A 3-wide convolution of what `UpsampledConv3D` enlarges and joins, a normalisation, and a ReLU."""
        x = UpsampledConv3D(
            filters,
            kernel_initializer=SeededNormal(layer_seed(self.seed, name)),
            dtype=self.policy,
            name=f"{name}_conv",
        )(inputs)
        return layers.ReLU(dtype=self.policy, name=f"{name}_relu")(self._normalised(x, f"{name}_norm"))

    def _normalised(self, x: Any, name: str) -> Any:
        if self.normalisation == "batch":
            return layers.BatchNormalization(momentum=_MOMENTUM, epsilon=1e-5, dtype=self.policy, name=name)(x)
        groups = math.gcd(_GROUPS, x.shape[-1]) if self.normalisation == "group" else -1
        return layers.GroupNormalization(groups, epsilon=1e-5, dtype=self.policy, name=name)(x)


def layer_seed(seed: int, name: str) -> int:
    """A layer's own seed. Keras's default draws from Python's `random`, which other threads draw from too."""
    return zlib.crc32(f"{seed} {name}".encode())
