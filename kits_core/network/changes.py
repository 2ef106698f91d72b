"""The random changes of a training pair: drawn here, applied by `augment` on the network's device.

They are changes that a patient or a scanner could cause. Needs no Keras.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

_MAX_ROTATION_RAD = np.deg2rad(12)
_MAX_SCALE = 0.15
_MAX_SHIFT = 0.06
_LOG_GAMMA = 0.3

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Changes:
    """The changes of some samples, one row each.

    `place`: float32 `(samples, 3, 4)`; applied to the index `(x, y, z, 1)` of a voxel of the network's input, it gives
    the index in the stored pair. `values`: float32 `(samples, 4)`: exponent of the intensities (1 leaves them), factor,
    what is added, and deviation of the noise, the last two in standardised units. `noise`: int32 `(samples, 2)`, the
    seed of the noise.
    """

    place: FloatArray
    values: FloatArray
    noise: NDArray[np.int32]

    @classmethod
    def none(cls, samples: int, stored: int, shape: int) -> Self:
        """Changes that do nothing but cut out the central `shape` of `stored` voxels a side."""
        place = np.hstack([np.eye(3), np.full((3, 1), (stored - shape) / 2)])
        values = np.array([1.0, 1.0, 0.0, 0.0])
        return cls(
            np.tile(place.astype(np.float32), (samples, 1, 1)),
            np.tile(values.astype(np.float32), (samples, 1)),
            np.zeros((samples, 2), np.int32),
        )

    def draw(self, row: int, rng: np.random.Generator, stored: int, shape: int) -> None:
        """Draw one sample's anew, for a pair of `stored` voxels a side and an input of `shape`.

        Place, size, contrast, brightness, gamma and noise change a little. Half are mirrored, left for right. Never
        upside down or back to front: organs have sides.
        """
        self.place[row], self.values[row], self.noise[row] = _draw(rng, stored, shape)


def _draw(
    rng: np.random.Generator, stored: int, shape: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    mirrored, moved = rng.random() < 0.5, rng.random() < 0.8
    matrix, centre = np.eye(3), np.full(3, (stored - 1) / 2)
    if moved:
        matrix = _random_matrix(rng)
        centre = centre + rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, size=3) * shape
    offset = centre - matrix @ np.full(3, (shape - 1) / 2)
    place = np.hstack([matrix, offset[:, None]])
    if mirrored:
        place[0] = np.array([0, 0, 0, stored - 1]) - place[0]
    power = np.exp(rng.uniform(-_LOG_GAMMA, _LOG_GAMMA)) if rng.random() < 0.5 else 1.0
    values = np.array([power, rng.uniform(0.85, 1.15), rng.uniform(-0.2, 0.2), rng.uniform(0.0, 0.12)])
    return place, values, rng.integers(0, 2**31 - 1, size=2, dtype=np.int32)


def _random_matrix(rng: np.random.Generator) -> NDArray[np.float64]:
    """A change of size along each axis, then a small turn about each."""
    matrix = np.diag(1.0 + rng.uniform(-_MAX_SCALE, _MAX_SCALE, size=3))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        angle = rng.uniform(-_MAX_ROTATION_RAD, _MAX_ROTATION_RAD)
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix
