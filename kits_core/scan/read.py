"""A scan that was found, as HU on its own grid, or the reason why it cannot be used."""

from dataclasses import dataclass

import numpy as np

from kits_core.errors import CaseError
from kits_core.geometry.grid import SPACING_MM, is_spacing
from kits_core.geometry.volume import Volume, canonical
from kits_core.scan.dicom import read_dicom
from kits_core.scan.find import Scan
from kits_core.scan.nifti import read_nifti
from kits_core.source.verify import check_hounsfield, check_shape

_SAMPLE_VOXELS = 1_000_000


@dataclass(frozen=True, eq=False)
class ReadScan:
    """A scan in memory. `volume`: int16 HU where that loses nothing, else float32. `notes`: what had to be handled.

    Axes of a NIfTI are the file's. Those of a DICOM series are columns, rows and slices, these along the normal of the
    slices (the cross product of a row's and a column's direction).
    """

    volume: Volume
    notes: tuple[str, ...]


def read_scan(scan: Scan) -> ReadScan:
    """Read a scan whole, a NIfTI or a DICOM series alike.

    Raises `CaseError` naming the scan for files that are cut off or no CT, for a grid that is not 3-D, even and in mm,
    with fewer than 8 voxels along an axis, and for values that cannot be HU; `read_nifti` and `read_dicom` say more.
    """
    volume, notes = (read_dicom if scan.kind == "dicom" else read_nifti)(scan)
    _check_grid(scan.name, volume)
    _check_values(scan.name, volume)
    return ReadScan(volume, notes)


def _check_grid(case: str, volume: Volume) -> None:
    check_shape(case, volume.shape)
    low, high = SPACING_MM
    if not is_spacing(volume.spacing_mm):
        raise CaseError(
            case,
            expected=f"a spacing of {low:g} to {high:g} mm",
            got=" x ".join(f"{mm:.4g}" for mm in volume.spacing_mm) + " mm",
            next_step="export the scan again with its spacing in mm",
        )


def _check_values(case: str, volume: Volume) -> None:
    stride = max(1, round((volume.data.size / _SAMPLE_VOXELS) ** (1 / 3)))
    sample = canonical(volume).data[::stride, ::stride, ::stride]
    high, most = np.percentile(sample, (75, 99.5))
    try:
        check_hounsfield(case, float(sample.min()), {"p75": float(high), "p99.5": float(most)})
    except CaseError as error:
        step = "export the scan in HU (rescale slope and intercept applied)"
        raise CaseError(case, expected=error.expected, got=error.got, next_step=step) from None
