"""A DICOM series as HU."""

from pathlib import Path

from kits_core.errors import CaseError
from kits_core.geometry.volume import Volume
from kits_core.scan.find import Scan
from kits_core.scan.guard import AGAIN, reading_dicom
from kits_core.scan.header import Header, read_header
from kits_core.scan.pixels import load_pixels
from kits_core.scan.stack import Stack, stack_slices
from kits_core.scan.tilt import untilt


def read_dicom(scan: Scan) -> tuple[Volume, tuple[str, ...]]:
    """The volume of a series, axes (column, row, slice along the normal), and what was handled.

    A gantry tilt is taken out by moving each slice within its plane. Raises `CaseError` for everything that
    `stack_slices` and `load_pixels` refuse, and for whatever else goes wrong while the files are read.
    """
    with reading_dicom(scan.name):
        stack = stack_of(scan)
        hu = load_pixels(scan.name, stack.slices)
        if not stack.tilted:
            return Volume(hu, stack.affine), stack.notes
        note = f"gantry tilt of {stack.tilt_deg:.1f}°: slices were moved within their planes onto an upright grid"
        return untilt(hu, stack), (*stack.notes, note)


def stack_of(scan: Scan) -> Stack:
    """The ordered slices of a scan of kind `dicom`; no pixels are read unless two slices share a place."""
    with reading_dicom(scan.name):
        return stack_slices(scan.name, [_header(scan.name, path) for path in scan.files])


def _header(case: str, path: Path) -> Header:
    try:
        header, got = read_header(path), "another"
    except (OSError, ValueError) as error:
        header, got = None, str(error)
    if header is None:
        raise CaseError(case, expected=f"a DICOM slice in {path.name}", got=got, next_step=AGAIN)
    return header
