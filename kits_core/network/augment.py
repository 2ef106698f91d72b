"""Stored pairs as training input: standardised and randomly changed, by batches, on the network's device.

The changes are drawn by `changes.Changes` from seed, epoch and place, so a batch is a function of those alone. XLA
compiles the work into one program, which is several times faster on a CPU than `scipy.ndimage`.
"""

from functools import cache
from typing import Any

from kits_core.network.backend import compiled, normal_noise, ops
from kits_core.network.loader import Batch
from kits_core.recipe.recipe import Recipe

_FLAT = 1e-6  # a smaller range of intensities has no contrast to change


def augmented(batch: Batch, recipe: Recipe) -> tuple[Any, Any]:
    """A batch's images and labels as tensors `(batch, x, y, z, 1)`, float32 (standardised) and uint8 (0 to 2).

    Voxels outside the stored pair repeat the image's edge, because a constant would draw a frame that no scanner makes.
    In the labels they are background.
    """
    changes = batch.changes
    window = [*recipe.window_hu, recipe.mean_hu, recipe.deviation_hu]
    pairs = tuple(map(ops.convert_to_tensor, (batch.images, batch.labels, changes.place, changes.values)))
    noise = normal_noise((recipe.shape,) * 3)(ops.convert_to_tensor(changes.noise))
    images, labels = _augmentation(recipe.shape)(pairs, noise, ops.convert_to_tensor(window, dtype="float32"))
    return images, labels


def standardised(hu: Any, window: Any) -> Any:
    """What `Recipe.standardise` makes of stored HU, as a tensor. `window`: its low and high end, mean and deviation."""
    return (ops.clip(ops.cast(hu, "float32"), window[0], window[1]) - window[2]) / window[3]


@cache
def _augmentation(shape: int) -> Any:
    """The compiled work for an input of `shape` voxels a side."""

    def augment(pairs: tuple[Any, ...], noise: Any, window: Any) -> tuple[Any, Any]:
        def one(sample: tuple[Any, ...]) -> tuple[Any, Any]:
            stored, truth, where, how = sample
            at = _indices(where, shape)
            image = ops.image.map_coordinates(standardised(stored, window), at, order=1, fill_mode="nearest")
            # Label values are exact in float32, and order 0 takes the nearest voxel, so no new label appears.
            kept = ops.image.map_coordinates(truth, at, order=0, fill_mode="constant", fill_value=0)
            return _bent(image, how[0]) * how[1] + how[2], kept

        changed, kept = ops.vectorized_map(one, pairs)
        deviation = pairs[3][:, 3, None, None, None]
        return (changed + deviation * noise)[..., None], kept[..., None]

    return compiled(augment)


def _indices(place: Any, shape: int) -> Any:
    """Float32 `(3, x, y, z)`: where each voxel comes from, in the order of the file, z first.

    Written out, since a matrix product may be computed in fewer bits on a graphics card.
    """
    side = ops.arange(shape, dtype="float32")
    x, y, z = side[:, None, None], side[None, :, None], side[None, None, :]
    return ops.stack([place[i, 0] * x + place[i, 1] * y + place[i, 2] * z + place[i, 3] for i in (2, 1, 0)])


def _bent(image: Any, power: Any) -> Any:
    """The intensities raised to a power between their extremes, which stay (as nnU-Net does)."""
    low = ops.min(image)
    span = ops.maximum(ops.max(image) - low, _FLAT)
    return ops.power((image - low) / span, power) * span + low
