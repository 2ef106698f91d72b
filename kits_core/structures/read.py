"""Reads a DICOM SEG or RTSTRUCT onto the grid of its CT series."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kits_core.errors import CaseError
from kits_core.geometry.volume import Volume
from kits_core.label_map import LabelMap
from kits_core.labels import Label
from kits_core.scan.find import Scan
from kits_core.scan.guard import reading_dicom
from kits_core.structures.describe import description_of, numbers_with_content, open_structures
from kits_core.structures.grid import SeriesGrid
from kits_core.structures.labels import labels_of
from kits_core.structures.refer import check_reference
from kits_core.structures.rtstruct import read_rtstruct
from kits_core.structures.seg import read_seg
from kits_core.structures.structure import Structures

THRESHOLD = 0.5
"""Of a fractional SEG: the least probability or occupancy that counts."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labels on a scan's grid. `volume`: uint8 with values of `Label`, on the grid of `read_scan`.

    `meanings`: of each name, or value, in the file that was read.
    """

    volume: Volume
    meanings: Mapping[str, Label]
    notes: tuple[str, ...]


def read_structures(
    path: Path,
    scan: Scan,
    *,
    wanted: Callable[[str], bool] | None = None,
    threshold: float = THRESHOLD,
    other_series: bool = False,
) -> Structures:
    """The structures of a DICOM SEG or RTSTRUCT on the grid on which `read_scan` reads a DICOM series.

    `wanted`: which names to read; all if None. `threshold`: of a fractional SEG, above 0 and at most 1.
    `other_series`: also take what was drawn on another series of the same frame of reference.

    Raises `CaseError` naming the scan for a file of another series or another frame of reference, one of another kind,
    cut off or broken, contours that lie on no slice, and where nothing of it lies in the scan.
    """
    grid = SeriesGrid.of(scan)
    return _read(path, grid, lambda names: set(filter(wanted, names)), threshold, other_series=other_series)


def read_labels(
    path: Path, scan: Scan, names: LabelMap, *, threshold: float = THRESHOLD, other_series: bool = False
) -> Labelled:
    """A DICOM SEG or RTSTRUCT as labels on the scan's grid, by `names`.

    Structures that `names` calls background are not read. Names without a meaning are reported before anything is read.
    Raises `CaseError` as `read_structures` and `labels_of` do.
    """

    def chosen(found: Iterable[str]) -> set[str]:
        return {name for name, label in names.labels_of(scan.name, found).items() if label is not Label.BACKGROUND}

    grid = SeriesGrid.of(scan)
    found = _read(path, grid, chosen, threshold, other_series=other_series)
    labels: NDArray[np.uint8] = labels_of(scan.name, found, names)
    meanings = names.labels_of(scan.name, (one.name for one in found.structures))
    return Labelled(Volume(labels, grid.affine), meanings, found.notes)


def _read(
    path: Path, grid: SeriesGrid, choose: Callable[[Iterable[str]], set[str]], threshold: float, *, other_series: bool
) -> Structures:
    """Read the structures that `choose` takes of the names of those that are not empty by the file's header."""
    if not 0 < threshold <= 1:
        raise ValueError(f"a threshold lies above 0 and is at most 1, got {threshold}")
    with reading_dicom(grid.case):
        data = open_structures(grid.case, path)
        said = description_of(data)
        notes = check_reference(path, said.reference, grid, other_series=other_series)
        content = numbers_with_content(data)
        taken = choose(one.name for one in said.named if one.number in content)
        numbers = {one.number for one in said.named if one.number in content and one.name in taken}
        if said.kind == "seg":
            of_series = grid.series in said.reference.series
            structures, more = read_seg(
                path, data, said.named, grid, wanted=numbers, threshold=threshold, of_series=of_series
            )
        else:
            structures, more = read_rtstruct(path, data, said.named, grid, wanted=numbers)
    kept = tuple(one for one in structures if one.voxels)
    outside = {one.number for one in structures} - {one.number for one in kept}
    empty = [one.name for one in said.named if one.number in outside or one.number not in content]
    listed = ", ".join(map(repr, dict.fromkeys(empty)))
    if not kept and (numbers or not content):
        raise CaseError(
            grid.case,
            expected=f"structures of {path.name} in the scan",
            got=f"nothing of {listed or 'any'} in it",
            next_step="give the series that it was drawn on",
        )
    if empty:
        notes.append(f"nothing of {listed} lies in the scan")
    return Structures(said.kind, grid.shape, said.reference, kept, tuple(empty), (*notes, *more))
