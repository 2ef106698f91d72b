"""The one door: a DICOM SEG or RTSTRUCT on the grid of its CT series."""

from collections.abc import Callable
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
from kits_core.structures.describe import description_of, open_structures
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
    """Labels on a scan's grid. `volume`: uint8 with values of `Label`, on the grid of `read_scan`."""

    volume: Volume
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
    if not 0 < threshold <= 1:
        raise ValueError(f"a threshold lies above 0 and is at most 1, got {threshold}")
    return _read(path, SeriesGrid.of(scan), wanted or (lambda _: True), threshold, other_series=other_series)


def read_labels(
    path: Path, scan: Scan, names: LabelMap, *, threshold: float = THRESHOLD, other_series: bool = False
) -> Labelled:
    """A DICOM SEG or RTSTRUCT as labels on the scan's grid, by `names`.

    What `names` calls background is not read. Raises `CaseError` as `read_structures` and `labels_of` do.
    """

    def wanted(name: str) -> bool:
        return not names.knows(name) or names.label_of(name) is not Label.BACKGROUND

    grid = SeriesGrid.of(scan)
    found = _read(path, grid, wanted, threshold, other_series=other_series)
    labels: NDArray[np.uint8] = labels_of(scan.name, found, names)
    return Labelled(Volume(labels, grid.affine), found.notes)


def _read(
    path: Path, grid: SeriesGrid, wanted: Callable[[str], bool], threshold: float, *, other_series: bool
) -> Structures:
    with reading_dicom(grid.case):
        data = open_structures(grid.case, path)
        said = description_of(data)
        notes = check_reference(path, said.reference, grid, other_series=other_series)
        numbers = {one.number for one in said.named if wanted(one.name)}
        if said.kind == "seg":
            of_series = grid.series in said.reference.series
            structures, more = read_seg(
                path, data, said.named, grid, wanted=numbers, threshold=threshold, of_series=of_series
            )
        else:
            structures, more = read_rtstruct(path, data, said.named, grid, wanted=numbers)
    empty = tuple(one.name for one in structures if not one.voxels)
    if structures and len(empty) == len(structures):
        raise CaseError(
            grid.case,
            expected=f"structures of {path.name} in the scan",
            got=f"nothing of {', '.join(map(repr, dict.fromkeys(empty)))} in it",
            next_step="give the series that it was drawn on",
        )
    if empty:
        notes.append(f"nothing of {', '.join(map(repr, dict.fromkeys(empty)))} lies in the scan")
    kept = tuple(one for one in structures if one.voxels)
    return Structures(said.kind, grid.shape, said.reference, kept, empty, (*notes, *more))
