"""Whatever goes wrong while a DICOM scan is read is that scan's problem, and stops no other."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom.config import disable_value_validation

from kits_core.errors import CaseError, KitsError

AGAIN = "export the series again from the scanner or archive"
_LONGEST = 300


@contextmanager
def reading_dicom(case: str) -> Iterator[None]:
    """Read odd headers without a word, and raise `CaseError` naming `case` for all that is no `KitsError` yet.

    Hospitals' headers break small rules, which is not ours to correct, and libraries raise errors of every kind for
    values that nobody foresaw; the cause stays attached.
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
