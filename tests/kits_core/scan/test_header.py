import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kits_core.scan.header import looks_like_dicom, read_header

_AFFINE = np.diag([-0.8, -0.7, 3.0, 1.0])


@pytest.fixture(scope="module")
def file(tmp_path_factory, dicom):
    return dicom.series(tmp_path_factory.mktemp("h"), dicom.body((6, 5, 1)), _AFFINE)[0]


def test_what_a_header_says(file):
    header = read_header(file)
    assert (header.modality, header.rows, header.columns, header.frames, header.bits) == ("CT", 5, 6, 1, 16)
    assert header.pixel_spacing == pytest.approx((0.7, 0.8))
    assert header.position == pytest.approx((0, 0, 0))
    assert header.orientation == pytest.approx((1, 0, 0, 0, 1, 0))
    assert (header.slope, header.intercept, header.number, header.lossy) == (1, -1024, 1, False)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cut=st.integers(0, 1200),
    bare=st.booleans(),
    wrong=st.dictionaries(st.integers(0, 1199), st.integers(0, 255), max_size=12),
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_damaged_files_are_refused_by_value_errors_only(tmp_path, file, cut, bare, wrong):
    content = bytearray(file.read_bytes())
    for place, value in wrong.items():
        content[place % len(content)] = value
    (tmp_path / "x").write_bytes(content[132 if bare else 0 : cut])
    if looks_like_dicom(tmp_path / "x"):
        try:
            read_header(tmp_path / "x")
        except ValueError as error:
            assert "header" in str(error)
