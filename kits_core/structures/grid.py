"""The grid of a CT series in DICOM's terms: where its voxels lie, and what other files call it."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from kits_core.errors import CaseError
from kits_core.geometry.volume import Affine, Shape
from kits_core.scan.dicom import stack_of
from kits_core.scan.find import Scan
from kits_core.scan.header import Header
from kits_core.scan.tilt import grid_of

Vector = NDArray[np.float64]

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class SeriesGrid:
    """The grid on which `read_scan` reads a series. `affine`: float64 `(4, 4)`, voxel to RAS mm.

    `case`: name of the scan, for errors. `study`, `series`, `frame_of_reference`: UIDs, empty where the series does not
    say. `slice_of`: the slice of each SOPInstanceUID. `slices`: the headers of the slices as stored.
    """

    case: str
    shape: Shape
    affine: Affine
    study: str
    series: str
    frame_of_reference: str
    slice_of: dict[str, int]
    slices: tuple[Header, ...]

    @classmethod
    def of(cls, scan: Scan) -> Self:
        """The grid of a scan of kind `dicom`; no pixels are read. Raises `CaseError` as `stack_of`, and for a NIfTI."""
        if scan.kind != "dicom":
            raise CaseError(
                scan.name,
                expected="the DICOM series that the structures were drawn on",
                got="a NIfTI file, which has no series to refer to",
                next_step="give the folder of the series, or the structures as NIfTI",
            )
        stack = stack_of(scan)
        shape, affine = grid_of(stack)
        first, frames = stack.slices[0], {header.frame_of_reference for header in stack.slices}
        return cls(
            case=scan.name,
            shape=shape,
            affine=affine,
            study=first.study,
            series=first.series,
            frame_of_reference=frames.pop() if len(frames) == 1 else "",
            slice_of={header.instance: k for k, header in enumerate(stack.slices)},
            slices=stack.slices,
        )

    @property
    def from_lps(self) -> Affine:
        """Float64 `(4, 4)`: LPS mm, as DICOM files have it, to voxel."""
        return np.asarray(np.linalg.inv(_LPS_TO_RAS @ self.affine), dtype=np.float64)

    @property
    def normal_lps(self) -> Vector:
        """The direction from slice to slice, LPS, of length 1."""
        step = (_LPS_TO_RAS @ self.affine)[:3, :3]
        normal = np.cross(step[:, 0], step[:, 1])
        return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)

    @property
    def spacing_of_slices(self) -> float:
        """Distance between the planes of neighbouring slices, in mm."""
        step = (_LPS_TO_RAS @ self.affine)[:3, 2]
        return float(step @ self.normal_lps)

    @property
    def slice_size(self) -> tuple[int, int]:
        """Columns and rows of a slice as stored; a grid of tilted slices is larger."""
        return self.slices[0].columns, self.slices[0].rows

    def place_of_slice(self, k: int) -> tuple[Vector, Vector, Vector]:
        """Orientation (row, column), pixel spacing (between rows, between columns) and position of a slice, LPS mm."""
        header = self.slices[k]
        orientation, spacing, position = header.orientation, header.pixel_spacing, header.position
        return np.array(orientation), np.array(spacing), np.array(position)
