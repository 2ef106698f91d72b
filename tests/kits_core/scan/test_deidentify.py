"""DICOM's basic profile on what is written, and the texts of a header that must not be shown."""

from functools import partial

import highdicom as hd
import numpy as np
from pydicom import Dataset

from kits_core.scan.deidentify import Hidden, apply_basic_profile, series_uid_of, telling_texts
from kits_core.scan.dicom_seg import write_dicom_seg
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan

AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])


def test_a_segmentation_says_nothing_of_who_and_when(dicom, stored, tmp_path):
    tags = {
        "PatientName": "Doe^Jane", "PatientBirthDate": "19500101", "PatientSex": "F", "AccessionNumber": "ACC8842",
        "StudyDescription": "Kidney of Doe", "PatientComments": "Doe", "InstitutionName": "Doe Hospital",
    }  # fmt: skip
    dicom.series(tmp_path / "series", stored, AFFINE, **tags)
    (scan,) = find_scans([tmp_path / "series"]).scans
    volume = read_scan(scan).volume
    labels = np.zeros(volume.shape, np.uint8)
    labels[4:8, 4:8, 2:5] = 1
    path = tmp_path / "seg.dcm"
    write = partial(write_dicom_seg, path, labels, volume.affine, scan, algorithm="model", version="1")
    hidden = Hidden("P-1", lambda uid: f"2.25.{len(uid)}{uid[-12:].replace('.', '')}")
    assert write(hidden=hidden) == ()
    content = path.read_bytes()
    for text in (b"Doe", b"19500101", b"ACC8842", b"20200101", scan.series_uid.encode()):
        assert text not in content
    found = hd.seg.segread(path)
    assert (found.PatientName, found.PatientID, found.PatientIdentityRemoved) == ("P-1", "P-1", "YES")
    assert not any((found.PatientSex, found.StudyDate, found.StudyTime, found.AccessionNumber))
    assert found.ContentDate == "19000101"
    assert "SeriesDescription" not in found
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == hidden.uid(scan.series_uid)
    assert int(found.pixel_array.sum()) == 48

    write()
    assert b"Doe^Jane" in path.read_bytes()


def test_the_profile_reaches_into_sequences():
    data, item = Dataset(), Dataset()
    item.AccessionNumber, item.SeriesDate = "ACC8842", "20200101"
    data.RequestAttributesSequence = [item]
    apply_basic_profile(data)
    (kept,) = data.RequestAttributesSequence
    assert kept.AccessionNumber == ""
    assert "SeriesDate" not in kept


def test_the_telling_texts_of_a_header(dicom, stored, tmp_path):
    (file, *_) = dicom.series(
        tmp_path / "series", stored, AFFINE, PatientName="Yamada^Tarou", PatientID="ZQ-4711", AccessionNumber="ACC1"
    )
    found = telling_texts(file)
    assert {"Yamada^Tarou", "Yamada, Tarou", "Yamada", "Tarou", "ZQ-4711", "ACC1", "Abdomen 2.0", "20200101"} <= {
        *found
    }
    assert "CT" not in found
    (scan,) = find_scans([tmp_path / "series"]).scans
    assert series_uid_of(file) == scan.series_uid
    torn = tmp_path / "torn.dcm"
    torn.write_bytes(file.read_bytes()[:150])
    assert telling_texts(torn) == ()
    assert (telling_texts(tmp_path / "none"), series_uid_of(tmp_path / "none")) == ((), "")
