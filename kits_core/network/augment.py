"""Random changes to a training pair that a patient or a scanner could have made."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

FloatArray = NDArray[np.float32]
Labels = NDArray[np.uint8]

_MAX_ROTATION_RAD = np.deg2rad(12)
_MAX_SCALE = 0.15
_MAX_SHIFT = 0.06


def augment(image: FloatArray, labels: Labels, rng: np.random.Generator) -> tuple[FloatArray, Labels]:
    """A new pair: mirrored left-right, turned, scaled and shifted a little, with other contrast, brightness and noise.

    `image`: float32 `(x, y, z)`, standardised, RAS (axis 0 runs left to right). `labels`: uint8 of the same shape.
    Never upside down or back to front: organs have sides. All randomness comes from `rng`.
    """
    if rng.random() < 0.5:
        image, labels = image[::-1], labels[::-1]
    if rng.random() < 0.8:
        matrix, offset = _random_affine(image.shape, rng)
        # Edge values continue the air or the body; a constant would paint a frame that no scanner makes.
        image = affine_transform(image, matrix, offset, order=1, mode="nearest", output=np.float32)
        labels = affine_transform(labels, matrix, offset, order=0, mode="constant", cval=0, output=np.uint8)
    contrast = rng.uniform(0.85, 1.15)
    brightness = rng.uniform(-0.2, 0.2)
    noise = rng.uniform(0.0, 0.12)
    changed = image * np.float32(contrast) + np.float32(brightness)
    changed += np.float32(noise) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.ascontiguousarray(changed), np.ascontiguousarray(labels)


def _random_affine(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix and offset from output to input index, about the centre of the grid."""
    matrix = np.diag(1.0 + rng.uniform(-_MAX_SCALE, _MAX_SCALE, size=3))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        angle = rng.uniform(-_MAX_ROTATION_RAD, _MAX_ROTATION_RAD)
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    centre = (np.array(shape) - 1) / 2
    shift = rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, size=3) * np.array(shape)
    return matrix, centre - matrix @ centre + shift
