"""Random changes to a training pair that a patient or a scanner could have made."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

FloatArray = NDArray[np.float32]
Labels = NDArray[np.uint8]

_MAX_ROTATION_RAD = np.deg2rad(12)
_MAX_SCALE = 0.15
_MAX_SHIFT = 0.06
_LOG_GAMMA = 0.3


def augment(image: FloatArray, labels: Labels, shape: int, rng: np.random.Generator) -> tuple[FloatArray, Labels]:
    """A new pair of `shape` voxels a side, with small changes of place, size, contrast, brightness, gamma and noise.

    `image`: float32 `(x, y, z)`, standardised, RAS (axis 0 runs left to right). `labels`: uint8 of the same shape,
    `shape` or larger: what lies around the central part is what a shifted or turned box sees. Half are mirrored, left
    for right. Never upside down or back to front: organs have sides. All randomness comes from `rng`.
    """
    if rng.random() < 0.5:
        image, labels = image[::-1], labels[::-1]
    if rng.random() < 0.8:
        matrix, offset = _random_affine(image.shape, shape, rng)
        out = (shape, shape, shape)
        # Edge values continue the air or the body; a constant would paint a frame that no scanner makes.
        image = affine_transform(image, matrix, offset, out, order=1, mode="nearest", output=np.float32)
        labels = affine_transform(labels, matrix, offset, out, order=0, mode="constant", cval=0, output=np.uint8)
    else:
        inner = tuple(slice((n - shape) // 2, (n - shape) // 2 + shape) for n in image.shape)
        image, labels = image[inner], labels[inner]
    changed = _gamma(image, rng) * np.float32(rng.uniform(0.85, 1.15)) + np.float32(rng.uniform(-0.2, 0.2))
    changed += np.float32(rng.uniform(0.0, 0.12)) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.ascontiguousarray(changed), np.ascontiguousarray(labels)


def _gamma(image: FloatArray, rng: np.random.Generator) -> FloatArray:
    """In half of the cases the intensities raised to a power between its extremes, which stay (as nnU-Net does)."""
    power = float(np.exp(rng.uniform(-_LOG_GAMMA, _LOG_GAMMA)))
    low, high = float(image.min()), float(image.max())
    if rng.random() < 0.5 or high - low < 1e-6:
        return image
    share = (image - np.float32(low)) / np.float32(high - low)
    return share ** np.float32(power) * np.float32(high - low) + np.float32(low)


def _random_affine(
    stored: tuple[int, ...], shape: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix and offset from output to input index; the centre of the output lies near that of the input."""
    matrix = np.diag(1.0 + rng.uniform(-_MAX_SCALE, _MAX_SCALE, size=3))
    for first, second in ((0, 1), (0, 2), (1, 2)):
        angle = rng.uniform(-_MAX_ROTATION_RAD, _MAX_ROTATION_RAD)
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    shift = rng.uniform(-_MAX_SHIFT, _MAX_SHIFT, size=3) * shape
    from_centre, to_centre = np.full(3, (shape - 1) / 2), (np.array(stored) - 1) / 2
    return matrix, to_centre - matrix @ from_centre + shift
