import warnings

import pytest

from kits_core.errors import CaseError, KitsError
from kits_core.scan.guard import reading_dicom


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ZeroDivisionError("by\n  zero"), "got ZeroDivisionError: by zero; export the series again"),
        (MemoryError(), "got MemoryError; export the series again"),
        (PermissionError(13, "Permission denied", "x"), "Permission denied: 'x'; make it readable"),
        (RuntimeError("x" * 5000), "x; export the series again"),
    ],
)
def test_whatever_goes_wrong_is_the_scan_s_problem_with_its_cause(error, words):
    with pytest.raises(CaseError) as caught, reading_dicom("head"):
        raise error
    assert str(caught.value).startswith("head: expected ")
    assert words in str(caught.value)
    assert len(str(caught.value)) < 600
    assert caught.value.__cause__ is error


def test_refusals_and_interruptions_pass_and_warnings_are_not_shown():
    refusal = KitsError("no")
    with pytest.raises(KitsError) as caught, reading_dicom("head"):
        raise refusal
    assert caught.value is refusal
    with pytest.raises(KeyboardInterrupt), reading_dicom("head"):
        raise KeyboardInterrupt
    with reading_dicom("head"):
        warnings.warn("odd", UserWarning, stacklevel=1)
