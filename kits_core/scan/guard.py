"""An error while one DICOM scan is read becomes that scan's problem. The other scans go on."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.config import disable_value_validation

from kits_core.errors import CaseError, KitsError

AGAIN = "export the series again from the scanner or archive"
_LONGEST = 300


@contextmanager
def reading_dicom(case: str) -> Iterator[None]:
    """Read odd headers without warnings, and turn every error that is no `KitsError` into a `CaseError` naming `case`.

    Hospitals' headers break small rules, which we do not correct, and libraries raise many kinds of errors for
    unexpected values. The cause stays attached.
    """
    with disable_value_validation(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            yield
        except KitsError:
            raise
        except Exception as error:
            raise unforeseen(case, error) from error


def unforeseen(case: str, error: Exception) -> CaseError:
    """The problem of a scan that the file system or a library failed on."""
    expected, got = "a NIfTI file or a DICOM series that can be read", " ".join(str(error).split())[:_LONGEST]
    if isinstance(error, OSError):
        return CaseError(case, expected=expected, got=got, next_step="make it readable")
    return CaseError(
        case,
        expected=expected,
        got=f"{type(error).__name__}: {got}" if got else type(error).__name__,
        next_step=f"{AGAIN}; if that does not help, convert it to NIfTI, as with dcm2niix",
    )
