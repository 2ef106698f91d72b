"""Whose scan it is, as hospitals' headers have it, whatever is wrong with them."""

from dataclasses import replace

import numpy as np
import pytest
from pydicom import dcmread

from kits_core.scan.find import Scan
from kits_core.scan.identity import Identity, identity_of


@pytest.fixture
def series(tmp_path, dicom, stored):
    """Gives a scan whose headers have other tags."""

    def write(**tags):
        files = dicom.series(tmp_path / "series", stored[:, :, :2], np.diag([-1.0, -1.0, 2.0, 1.0]), **tags)
        return Scan("series", tmp_path / "series", "dicom", tuple(files))

    return write


def test_of_a_series_name_number_day_and_description(series):
    found = identity_of(series(PatientName="Doe^Jane^M^Dr", PatientID=" 4711 ", StudyDate="20240301"))
    assert found == Identity("Doe, Jane M Dr", "4711", "2024-03-01", "Abdomen 2.0", series_number="3")
    assert list(found.facts) == ["Patient", "Patient ID", "Study date", "Series"]


def test_a_title_names_what_is_known_and_no_more(series):
    scan = series(PatientName="Doe^Jane", PatientID="4711", StudyDate="")
    assert identity_of(scan).line == "Doe, Jane · 4711 · Abdomen 2.0"
    assert Identity().line == ""
    assert identity_of(replace(scan, series_uid="1.2.3")).series_uid == "1.2.3"


def test_a_japanese_name_has_its_groups_even_where_the_first_character_set_is_empty(series):
    found = identity_of(
        series(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう")
    )
    assert found.patient == "Yamada, Tarou (山田, 太郎, やまだ, たろう)"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_missing_is_said_and_what_is_no_date_stays_as_it_is(series):
    found = identity_of(series(PatientName="", PatientID="7", StudyDate="2024.3.1"))
    assert found.facts["Patient"] == "not stated"
    assert found.facts["Study date"] == "2024.3.1"


def test_a_header_that_cannot_be_read_stops_nothing(series, tmp_path):
    scan = series()
    scan.files[0].write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    assert identity_of(scan) == Identity()
    assert Identity().facts == {}
    scan.files[0].unlink()
    assert identity_of(scan) == Identity()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_unknown_character_set_hides_no_name_in_plain_letters(series):
    scan = series(PatientName="Doe^Jane")
    data = dcmread(scan.files[0])
    data.SpecificCharacterSet = "ISO_IR 999"
    data.save_as(scan.files[0])
    assert identity_of(scan).patient == "Doe, Jane"


def test_of_a_nifti_its_file(tmp_path):
    path = tmp_path / "ct.nii.gz"
    assert identity_of(Scan("ct", path, "nifti", (path,))).facts == {"File": "ct.nii.gz"}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_damaged_header_stops_a_plan(series):
    scan, rng = series(PatientName="Doe^Jane"), np.random.default_rng(3)
    whole = scan.files[0].read_bytes()[:1200]
    for _ in range(200):
        content = bytearray(whole[: rng.integers(1, len(whole))])
        for place in rng.integers(0, len(content), 6):
            content[place] = rng.integers(0, 256)
        scan.files[0].write_bytes(content)
        assert isinstance(identity_of(scan).facts, dict)
