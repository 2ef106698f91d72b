"""Training batches from prepared files: shuffled, read ahead by threads, as they are stored. Needs no Keras.

A prepared pair is two uncompressed NIfTI files, image and labels. So reading is copying bytes; from the second epoch on
they come from the system's file cache. Random changes are computed on the network's device (`augment`); only their
numbers are drawn here.
"""

import math
import os
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from kits_core.errors import CaseError
from kits_core.network.changes import Changes
from kits_core.recipe.recipe import Recipe

_BATCHES_AHEAD = 2
_MOST_THREADS = 8  # they only copy memory; more threads would not be faster
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
    """Pairs as stored, and what is to change in them.

    `images`: int16 HU `(batch, z, y, x)`, with the recipe's context. `labels`: uint8, same shape, 0 to 2.
    """

    cases: tuple[str, ...]
    images: NDArray[np.int16]
    labels: NDArray[np.uint8]
    changes: Changes


@dataclass(frozen=True)
class PairReader:
    """Reads prepared pairs of a recipe as they are stored. The position of the voxels in a file is looked up once."""

    recipe: Recipe
    _offsets: dict[Path, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Voxels of a stored pair along each side."""
        return self.recipe.shape + 2 * self.recipe.context

    def empty(self, pairs: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """Images and labels to read into, `(pairs, z, y, x)`."""
        shape = (pairs, self.size, self.size, self.size)
        return np.empty(shape, np.int16), np.empty(shape, np.uint8)

    def read(self, case: TrainingCase, image: NDArray[np.int16], labels: NDArray[np.uint8]) -> None:
        """Fill `image`, HU, and `labels`, both `(z, y, x)`.

        Raises `CaseError` for a pair that cannot be read or is not of the recipe's size.
        """
        sides: list[tuple[Path, NDArray[Any]]] = [(case.image_path, image), (case.label_path, labels)]
        for path, array in sides:
            try:
                with path.open("rb", buffering=0) as file:
                    file.seek(self._offset(case, path, array))
                    got = file.readinto(array.data.cast("B"))
            except (OSError, ValueError, ImageFileError) as error:
                raise _unreadable(case, " ".join(str(error).split())) from error
            if got != array.nbytes:
                raise _unreadable(case, f"{path.name} with {got} of {array.nbytes} bytes of voxels")

    def _offset(self, case: TrainingCase, path: Path, array: NDArray[Any]) -> int:
        if path not in self._offsets:
            proxy = nib.load(path).dataobj
            if proxy.shape != (self.size,) * 3:
                got = f"{'x'.join(map(str, proxy.shape))} in {path.name}"
                raise CaseError(case.name, expected=f"{self.size} voxels a side", got=got, next_step=_MEND)
            if proxy.dtype != array.dtype or (proxy.slope, proxy.inter) != (1, 0):
                raise _unreadable(case, f"{path.name} of {proxy.dtype}, slope {proxy.slope}, intercept {proxy.inter}")
            self._offsets[path] = proxy.offset
        return self._offsets[path]


@dataclass(frozen=True)
class Loader:
    """Batches of every epoch, each a function of `seed`, the epoch's number and its place in it alone.

    That makes a resumed training see just what the unbroken one would have seen. The last batch of an epoch is filled
    up with cases from its start, so that every step has the same shape and weight. Pairs are read by threads: an error
    in one is raised to the caller who waits for that batch, so it cannot go unnoticed. `augment`: whether pairs are
    changed.
    """

    cases: Sequence[TrainingCase]
    recipe: Recipe
    batch_size: int
    seed: int
    threads: int = field(default_factory=lambda: usable_threads(_MOST_THREADS))
    augment: bool = True
    _reader: PairReader = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_reader", PairReader(self.recipe))

    def __len__(self) -> int:
        return math.ceil(len(self.cases) / self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Generator[Batch]:
        """The batches of one epoch from batch `start` (0 is the first); a few are in the making while one is used.

        Raises what reading a pair raised: `CaseError` for one that cannot be read.
        """
        order = np.random.default_rng((self.seed, number)).permutation(len(self.cases))
        padded = np.resize(order, (len(self), self.batch_size))
        coming = iter([(number, place, padded[place]) for place in range(start, len(self))])
        with ThreadPoolExecutor(self.threads, thread_name_prefix="loader") as pool:
            pending = [self._begin(pool, *batch) for batch in islice(coming, _BATCHES_AHEAD)]
            try:
                while pending:
                    batch, reads = pending.pop(0)
                    for read in reads:
                        read.result()
                    pending += [self._begin(pool, *after) for after in islice(coming, 1)]
                    yield batch
            finally:
                for _, reads in pending:
                    for read in reads:
                        read.cancel()

    def _begin(
        self, pool: ThreadPoolExecutor, epoch: int, place: int, indices: NDArray[np.int64]
    ) -> tuple[Batch, list[Future[None]]]:
        """A batch whose pairs are being read."""
        cases = [self.cases[index] for index in indices]
        images, labels = self._reader.empty(len(cases))
        changes = Changes.none(len(cases), self._reader.size, self.recipe.shape)
        batch = Batch(tuple(case.name for case in cases), images, labels, changes)
        first = place * self.batch_size
        return batch, [
            pool.submit(self._fill, batch, row, case, (epoch, first + row)) for row, case in enumerate(cases)
        ]

    def _fill(self, batch: Batch, row: int, case: TrainingCase, moment: tuple[int, int]) -> None:
        """Read one pair of a batch, and draw its changes. `moment`: the epoch, and the pair's place in it."""
        self._reader.read(case, batch.images[row], batch.labels[row])
        if self.augment:
            batch.changes.draw(row, np.random.default_rng((self.seed, *moment)), self._reader.size, self.recipe.shape)


def usable_threads(most: int) -> int:
    """As many threads as this process may use cores, at most `most`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(most, cores))


def _unreadable(case: TrainingCase, got: str) -> CaseError:
    return CaseError(case.name, expected="a prepared pair", got=got, next_step=_MEND)
