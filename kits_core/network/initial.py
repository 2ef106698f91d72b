"""Initial weights: the same from the same seed, whatever the backend and the device."""

import math
from typing import Any

import numpy as np

from kits_core.network.backend import keras, ops


@keras.saving.register_keras_serializable(package="kits")
class SeededNormal(keras.initializers.Initializer):
    """Normal values around 0, drawn by NumPy from a seed.

    Keras's own draws differ between its backends. Under JAX each shape of them is compiled too, which took 27 s of the
    29 s in which the demo's network was built.

    Args:
        seed: what the values depend on.
        stddev: their standard deviation; None for `sqrt(2 / n)`, `n` being the values that are summed up for one
            output (He et al. 2015, arXiv:1502.01852, equation 10).
    """

    def __init__(self, seed: int, stddev: float | None = None) -> None:
        self.seed, self.stddev = seed, stddev

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """A tensor of `shape`, whose last axis counts the outputs."""
        stddev = math.sqrt(2 / math.prod(shape[:-1])) if self.stddev is None else self.stddev
        values = np.random.default_rng(self.seed).normal(0.0, stddev, shape)
        return ops.convert_to_tensor(values.astype(np.float32), dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments that draw the same values again."""
        return {"seed": self.seed, "stddev": self.stddev}
