"""Training batches from prepared files: shuffled, augmented, made ahead by threads. Needs no Keras and no tf.data."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from kits_core.errors import CaseError
from kits_core.geometry import read_volume
from kits_core.network.augment import augment
from kits_core.recipe.recipe import Recipe

_BATCHES_AHEAD = 2
_MEND = "run kits prepare again"


@dataclass(frozen=True)
class TrainingCase:
    """A prepared pair on disk. `kidney_kept` and `tumor_kept`: the share of each that lies inside the recipe's grid."""

    name: str
    image_path: Path
    label_path: Path
    kidney_kept: float = 1.0
    tumor_kept: float = 1.0


@dataclass(frozen=True, eq=False)
class Batch:
    """`images`: float32 `(batch, x, y, z, 1)`, standardised. `labels`: uint8, same shape, 0 to 2."""

    cases: tuple[str, ...]
    images: NDArray[np.float32]
    labels: NDArray[np.uint8]


def read_pair(case: TrainingCase, recipe: Recipe) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Standardised image and labels of a case as stored, float32 and uint8 `(x, y, z)`, with the recipe's context.

    Raises `CaseError` for a pair that cannot be read or is not of the recipe's size.
    """
    try:
        image, labels = read_volume(case.image_path), read_volume(case.label_path)
    except (OSError, ValueError, ImageFileError) as error:
        found = " ".join(str(error).split())
        raise CaseError(case.name, expected="a prepared pair", got=found, next_step=_MEND) from error
    size = recipe.shape + 2 * recipe.context
    if image.shape != (size,) * 3 or labels.shape != (size,) * 3:
        raise CaseError(
            case.name, expected=f"{size} voxels a side", got=f"{image.shape} and {labels.shape}", next_step=_MEND
        )
    return recipe.standardise(image.data), np.asarray(labels.data, dtype=np.uint8)


@dataclass(frozen=True)
class Loader:
    """Batches of every epoch, each a function of `seed`, the epoch's number and its place in it alone.

    That makes a resumed training see just what the unbroken one would have seen. The last batch of an epoch is filled
    up with cases from its start, so that every step has the same shape and weight. Samples are made by threads: what
    one raises reaches whoever waits for its batch, and none can die unseen.
    """

    cases: Sequence[TrainingCase]
    recipe: Recipe
    batch_size: int
    seed: int
    threads: int = 2

    def __len__(self) -> int:
        return math.ceil(len(self.cases) / self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from batch `start` (0 is the first); a few are in the making while one is used.

        Raises what making a sample raised: `CaseError` for a pair that cannot be read.
        """
        order = np.random.default_rng((self.seed, number)).permutation(len(self.cases))
        padded = np.resize(order, len(self) * self.batch_size)
        picks = iter([(number, place, int(index)) for place, index in enumerate(padded)][start * self.batch_size :])
        with ThreadPoolExecutor(self.threads, thread_name_prefix="loader") as pool:
            pending: list[Future[tuple[str, NDArray[np.float32], NDArray[np.uint8]]]] = [
                pool.submit(self._sample, *pick) for pick in islice(picks, self.batch_size * _BATCHES_AHEAD)
            ]
            try:
                while pending:
                    samples = [future.result() for future in pending[: self.batch_size]]
                    pending = pending[self.batch_size :]
                    pending += [pool.submit(self._sample, *pick) for pick in islice(picks, self.batch_size)]
                    names, images, labels = zip(*samples, strict=True)
                    yield Batch(names, np.stack(images)[..., None], np.stack(labels)[..., None])
            finally:
                for future in pending:
                    future.cancel()

    def _sample(self, epoch: int, place: int, index: int) -> tuple[str, NDArray[np.float32], NDArray[np.uint8]]:
        rng = np.random.default_rng((self.seed, epoch, place))
        image, labels = augment(*read_pair(self.cases[index], self.recipe), self.recipe.shape, rng)
        return self.cases[index].name, image, labels
