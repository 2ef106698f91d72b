"""A decoder's first convolution, without the enlarged tensor that a U-Net convolves."""

from collections.abc import Sequence
from typing import Any

from kits_core.network.backend import keras, layers, ops, uses_xla
from kits_core.network.convolution import convolved


@keras.saving.register_keras_serializable(package="kits")
class UpsampledConv3D(layers.Layer):
    """What `UpSampling3D(2)`, `Concatenate` and a 3-wide `Conv3D` without bias give together.

    In the enlarged tensor each voxel stands eight times, so that 3³ taps meet at most 2³ different values. So
    convolving the enlarged tensor equals convolving the small one with 2-wide kernels whose values are sums of taps.
    That is exact but for rounding and takes 8/27 of the multiply-adds for `x`. The enlarged and the joined tensor, at
    128³ the largest of the network, are never made.

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
        enlarged = _by_parts if uses_xla() else _transposed
        y = enlarged(x, self.kernel[..., :channels, :])
        if skips:
            y += convolved(skips[0], self.kernel[..., channels:, :])
        return y

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple[int | None, ...]:
        """Twice as many voxels along each axis."""
        batch, *sides, _ = input_shape[0]
        return (batch, *(side and 2 * side for side in sides), self.filters)

    def get_config(self) -> dict[str, Any]:
        """The arguments that build the same layer again."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "filters": self.filters, "kernel_initializer": initializer}


def _transposed(x: Any, kernel: Any) -> Any:
    """As a transposed convolution, whose 4-wide kernel has, along each axis, the taps that fall on one small voxel."""
    for axis in range(3):
        before, at, after = ops.split(kernel, 3, axis=axis)
        kernel = ops.concatenate([after, at + after, before + at, before], axis=axis)
    return ops.conv_transpose(x, ops.transpose(kernel, (0, 1, 2, 4, 3)), strides=2, padding="same")


def _by_parts(x: Any, kernel: Any) -> Any:
    """As one convolution with 2-wide kernels for each of the 8 places that an enlarged voxel can have, interleaved.

    For XLA, which on a graphics card fills a transposed convolution in three dimensions up with zeros and convolves
    those too (github.com/jax-ml/jax/issues/31662).
    """
    (i, j, k), filters = x.shape[1:4], kernel.shape[-1]
    for axis in range(3):
        before, at, after = ops.split(kernel, 3, axis=axis)
        even = ops.concatenate([before, at + after], axis=axis)
        odd = ops.concatenate([before + at, after], axis=axis)
        kernel = ops.stack([even, odd], axis=-2)
    kernel = ops.reshape(kernel, (2, 2, 2, x.shape[-1], 8 * filters))
    around = ops.pad(x, ((0, 0), (1, 1), (1, 1), (1, 1), (0, 0)))
    y = ops.reshape(convolved(around, kernel, padding="valid"), (-1, i + 1, j + 1, k + 1, 2, 2, 2, filters))
    # Axis by axis: the even voxels come from the first places, the odd ones from the last.
    y = ops.stack([y[:, :i, :, :, 0], y[:, 1:, :, :, 1]], axis=2)
    y = ops.reshape(y, (-1, 2 * i, j + 1, k + 1, 2, 2, filters))
    y = ops.stack([y[:, :, :j, :, 0], y[:, :, 1:, :, 1]], axis=3)
    y = ops.reshape(y, (-1, 2 * i, 2 * j, k + 1, 2, filters))
    y = ops.stack([y[:, :, :, :k, 0], y[:, :, :, 1:, 1]], axis=4)
    return ops.reshape(y, (-1, 2 * i, 2 * j, 2 * k, filters))
