"""A decoder's first convolution, without the enlarged tensor that a U-Net convolves."""

from collections.abc import Sequence
from typing import Any

from kits_core.network.backend import keras, layers, ops


@keras.saving.register_keras_serializable(package="kits")
class UpsampledConv3D(layers.Layer):
    """What `UpSampling3D(2)`, `Concatenate` and a 3-wide `Conv3D` without bias give together.

    An enlarged voxel is there eight times, so that 3³ taps fall on no more than 2³ different ones: convolving the
    enlarged tensor is a transposed convolution of the small one, whose kernel holds sums of the taps. That is exact but
    for rounding, takes 8/27 of the multiply-adds for `x`, and neither the enlarged tensor nor the joined one is ever
    made: at 128³ they are the largest of the network.

    Takes `[x]` or `[x, skip]`, `(batch, n, n, n, channels)` and `(batch, 2n, 2n, 2n, channels)`; gives
    `(batch, 2n, 2n, 2n, filters)`. The kernel is that of the `Conv3D`, the channels of `x` first.
    """

    def __init__(self, filters: int, kernel_initializer: Any = "he_normal", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_initializer = filters, keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Sequence[Any]) -> None:
        """Make the kernel."""
        channels = sum(shape[-1] for shape in input_shape)
        self.kernel = self.add_weight(
            shape=(3, 3, 3, channels, self.filters), initializer=self.kernel_initializer, name="kernel"
        )

    def call(self, inputs: Sequence[Any]) -> Any:
        """Convolve."""
        x, *skips = inputs
        channels = x.shape[-1]
        kernel = ops.transpose(_folded(self.kernel[..., :channels, :]), (0, 1, 2, 4, 3))
        y = ops.conv_transpose(x, kernel, strides=2, padding="same")
        if skips:
            y += ops.conv(skips[0], self.kernel[..., channels:, :], padding="same")
        return y

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple[int | None, ...]:
        """Twice as many voxels along each axis."""
        batch, *sides, _ = input_shape[0]
        return (batch, *(side and 2 * side for side in sides), self.filters)

    def get_config(self) -> dict[str, Any]:
        """The arguments that build the same layer again."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "filters": self.filters, "kernel_initializer": initializer}


def _folded(kernel: Any) -> Any:
    """The 4-wide kernel of the transposed convolution: along each axis, the taps that fall on one small voxel."""
    for axis in range(3):
        before, at, after = ops.split(kernel, 3, axis=axis)
        kernel = ops.concatenate([after, at + after, before + at, before], axis=axis)
    return kernel
