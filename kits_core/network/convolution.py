"""Convolutions in three dimensions, computed in a way that is fast under XLA."""

from typing import Any, Literal

from kits_core.network.backend import find_gpus, layers, ops, uses_xla

_FEW_CHANNELS = 16

Padding = Literal["same", "valid"]


def convolved(x: Any, kernel: Any, stride: int = 1, padding: Padding = "same") -> Any:
    """A 3-D convolution. `x`: `(batch, x, y, z, channels)`. `kernel`: `(taps, taps, taps, channels, filters)`.

    Under XLA, where the input has few channels or a CPU computes, the taps along the first axis become channels, and
    the rest is a 2-D convolution: the same sums, but for rounding. On a graphics card, cuDNN's gradient of a 3-D kernel
    of 16 channels is slow (two of them took 81 ms of the reference recipe's step of 147 ms on an H200); on a CPU, XLA's
    3-D convolutions are slow throughout.
    """
    if uses_xla() and (x.shape[-1] <= _FEW_CHANNELS or not find_gpus()):
        return _in_planes(x, kernel, stride, padding)
    return ops.conv(x, kernel, strides=stride, padding=padding)


class Conv3D(layers.Conv3D):
    """Keras's `Conv3D` with padding "same", as `convolved` does it.

    Named as its parent, so that the weights of a saved model have the same place in its file.

    Args:
        arithmetic: type of the products, if it differs from the layer's: 16 bits in a layer whose result and bias are
            float32.
    """

    def __init__(self, *args: Any, arithmetic: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, padding="same", **kwargs)
        self.arithmetic = arithmetic

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve; Keras adds the bias."""
        if self.arithmetic is not None:
            inputs, kernel = ops.cast(inputs, self.arithmetic), ops.cast(kernel, self.arithmetic)
        return ops.cast(convolved(inputs, kernel, self.strides[0]), self.compute_dtype)


def _in_planes(x: Any, kernel: Any, stride: int, padding: Padding) -> Any:
    length, height, width, channels = x.shape[1:]
    taps, filters = kernel.shape[0], kernel.shape[-1]
    if padding == "same":
        pad = max(0, (-(-length // stride) - 1) * stride + taps - length)
        x = ops.pad(x, ((0, 0), (pad // 2, pad - pad // 2), (0, 0), (0, 0), (0, 0)))
    reach = x.shape[1] - taps + 1
    planes = ops.concatenate([x[:, tap : tap + reach : stride] for tap in range(taps)], axis=-1)
    count = planes.shape[1]
    planes = ops.reshape(planes, (-1, height, width, taps * channels))
    flat = ops.reshape(ops.transpose(kernel, (1, 2, 0, 3, 4)), (*kernel.shape[1:3], taps * channels, filters))
    found = ops.conv(planes, flat, strides=stride, padding=padding)
    return ops.reshape(found, (-1, count, *found.shape[1:]))
