"""Named structures on a scan's grid."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kits_core.geometry.boxes import Slices
from kits_core.geometry.volume import Shape

Kind = Literal["seg", "rtstruct", "nrrd"]


@dataclass(frozen=True)
class Code:
    """A term of a coding scheme, such as 64033007 of SCT, "Kidney"."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Reference:
    """What a file says it was drawn on: UIDs. `study` is empty, and the others hold none, where it does not say."""

    study: str
    series: tuple[str, ...]
    frames_of_reference: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """A structure as a file announces it. `number`: the file's. `codes`: what it is, as far as coded."""

    number: int
    name: str
    codes: tuple[Code, ...]


@dataclass(frozen=True, eq=False)
class Structure:
    """A structure on a grid. `mask`: bool, the part of the grid in `box`, outside of which there is nothing of it.

    A structure of which nothing lies in the grid has a box without voxels.
    """

    number: int
    name: str
    codes: tuple[Code, ...]
    box: Slices
    mask: NDArray[np.bool_]

    @property
    def voxels(self) -> int:
        """How many voxels it has."""
        return int(np.count_nonzero(self.mask))

    def on(self, shape: Shape) -> NDArray[np.bool_]:
        """The mask on the whole grid, bool of `shape`."""
        whole = np.zeros(shape, np.bool_, order="F")
        whole[self.box] = self.mask
        return whole


@dataclass(frozen=True, eq=False)
class Structures:
    """What a SEG, RTSTRUCT or NRRD holds, on a grid of `shape`.

    `notes`: what was passed over, and what a reader should know. `left_out`: names of structures that are empty, or of
    which nothing lies in the grid. They need no meaning.
    """

    kind: Kind
    shape: Shape
    reference: Reference
    structures: tuple[Structure, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


class Gathered:
    """Parts of masks as they are read, in little memory: boxes of voxels, put together at the end."""

    def __init__(self) -> None:
        self._parts: dict[int, list[tuple[tuple[int, ...], NDArray[np.bool_]]]] = {}

    def add(self, number: int, start: tuple[int, int, int], part: NDArray[Any]) -> None:
        """Add to structure `number` the voxels of `part`, bool `(i, j, k)`, whose first voxel is at `start`."""
        if part.any():
            self._parts.setdefault(number, []).append((start, part.astype(np.bool_, copy=False)))

    def structure(self, named: Named) -> Structure:
        """All that was added to a structure."""
        parts = self._parts.get(named.number, [])
        if not parts:
            nothing = slice(0, 0)
            empty = np.zeros((0, 0, 0), np.bool_)
            return Structure(named.number, named.name, named.codes, (nothing, nothing, nothing), empty)
        low = np.min([start for start, _ in parts], axis=0)
        high = np.max([np.add(start, part.shape) for start, part in parts], axis=0)
        mask = np.zeros(tuple(high - low), np.bool_, order="F")
        for start, part in parts:
            i, j, k = (slice(int(a - b), int(a - b) + n) for a, b, n in zip(start, low, part.shape, strict=True))
            mask[i, j, k] |= part
        i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return Structure(named.number, named.name, named.codes, (i, j, k), mask)
