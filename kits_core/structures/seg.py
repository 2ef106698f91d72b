"""A DICOM SEG on the grid of a CT series."""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.utils import iter_pixels

from kits_core.errors import CaseError
from kits_core.scan.pixels import wrong_length
from kits_core.structures.describe import broken, items
from kits_core.structures.grid import SeriesGrid
from kits_core.structures.planes import planes_of
from kits_core.structures.structure import Gathered, Named, Structure

_BINARY, _FRACTIONAL, _LABEL_MAP = "BINARY", "FRACTIONAL", "LABELMAP"
_PADDING_BYTES = 16  # a larger difference means that the header's size is not that of the frames


def read_seg(
    path: Path,
    data: Dataset,
    named: tuple[Named, ...],
    grid: SeriesGrid,
    *,
    wanted: Container[int],
    threshold: float,
    of_series: bool,
) -> tuple[list[Structure], list[str]]:
    """The segments with a number in `wanted`, and notes.

    `data`: header of the file at `path`. Each voxel of the grid takes the pixel that is nearest in the patient; where
    there is no frame there is nothing. Raises `CaseError` for pixels that cannot be read, frames without a place, and
    values that no segment has.
    """
    file = _File(grid.case, path, data, frozenset(one.number for one in named))
    file.check()
    gathered, beyond, notes = Gathered(), set(), []
    planes = planes_of(path, data, grid, of_series=of_series) if file.frames else None
    for frame, number, mask in file.masks(wanted, threshold):
        if planes is not None:
            (i, j, k), part, outside = planes.paint(frame, mask, grid)
            gathered.add(number, (i.start, j.start, k.start), part)
            beyond |= {number} if outside else set()
    structures = [gathered.structure(one) for one in named if one.number in wanted]
    if file.kind == _FRACTIONAL:
        meaning = str(data.get("SegmentationFractionalType") or "fractional").lower()
        notes.append(f"{path.name} has fractions ({meaning}): what is at least {threshold:g} was taken")
    notes += [f"{one.name} reaches beyond the scan" for one in structures if one.number in beyond and one.voxels]
    return structures, notes


@dataclass(frozen=True)
class _File:
    """A SEG's frames. `numbers`: of the segments that it describes."""

    case: str
    path: Path
    data: Dataset
    numbers: frozenset[int]

    @property
    def kind(self) -> str:
        return str(self.data.get("SegmentationType"))

    @property
    def frames(self) -> int:
        return int(self.data.get("NumberOfFrames") or 0)

    def check(self) -> None:
        """Raise `CaseError` for a type that is none, frames that are not described, and fractions of nothing."""
        described = len(self.data.get("PerFrameFunctionalGroupsSequence") or ())
        if self.kind not in (_BINARY, _FRACTIONAL, _LABEL_MAP):
            raise self._broken(f"the segmentation type {self.kind}")
        if self.frames != described:
            raise self._broken(f"{self.frames} frames, of which {described} are described")
        if self.kind == _FRACTIONAL and not float(self.data.get("MaximumFractionalValue") or 0) > 0:
            raise self._broken("fractions without a MaximumFractionalValue")
        bits = self.frames * int(self.data.Rows) * int(self.data.Columns) * int(self.data.BitsAllocated)
        if self.frames and (reason := wrong_length(self.path, -(-bits // 8), _PADDING_BYTES)):
            raise self._broken(f"{reason} of pixels")

    def masks(self, wanted: Container[int], threshold: float) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
        """Frame, segment and pixels, bool `(row, column)`, of each wanted segment in each frame that has some of it."""
        found = self._of_label_map() if self.kind == _LABEL_MAP else self._of_segments(wanted, threshold)
        for frame, number, mask in found:
            if number not in self.numbers:
                raise self._broken(f"a frame of segment {number}, which is not described")
            if number in wanted and mask.any():
                yield frame, number, mask

    def _of_label_map(self) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
        background = int(self.data.get("PixelPaddingValue") or 0)
        for frame, pixels in enumerate(self._pixels(range(self.frames))):
            for number in np.unique(pixels).tolist():
                if number != background:
                    yield frame, number, pixels == number

    def _of_segments(self, wanted: Container[int], threshold: float) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
        numbers = [self._segment_of(frame) for frame in range(self.frames)]
        least = threshold * float(self.data.MaximumFractionalValue) if self.kind == _FRACTIONAL else 1
        todo = [frame for frame, number in enumerate(numbers) if number in wanted or number not in self.numbers]
        for frame, pixels in zip(todo, self._pixels(todo), strict=True):
            yield frame, numbers[frame], pixels >= least

    def _segment_of(self, frame: int) -> int:
        shared = items(self.data, "SharedFunctionalGroupsSequence")
        for group in (self.data.PerFrameFunctionalGroupsSequence[frame], *shared):
            for item in items(group, "SegmentIdentificationSequence"):
                return int(item.ReferencedSegmentNumber)
        raise self._broken(f"no segment for frame {frame + 1}")

    def _pixels(self, frames: Sequence[int]) -> Iterator[NDArray[Any]]:
        """These frames, `(row, column)`, one at a time."""
        if not frames:
            return
        deflated = self.data.file_meta.TransferSyntaxUID.is_deflated
        source = dcmread(self.path, force=True) if deflated else self.path
        try:
            yield from iter_pixels(source, indices=frames, raw=True)
        except (AttributeError, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
            raise CaseError(
                self.case,
                expected=f"frames that can be decoded in {self.path.name}",
                got=" ".join(str(error).split())[:300] or type(error).__name__,
                next_step="export the segmentation again, whole and uncompressed",
            ) from error

    def _broken(self, got: str) -> CaseError:
        return broken(self.case, self.path, got)
