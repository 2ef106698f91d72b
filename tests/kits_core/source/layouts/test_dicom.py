"""A tree of DICOM files: what of it is a case, by what it is called, and what is refused."""

import shutil
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread

from kits_core.errors import CaseError, KitsError
from kits_core.labels import Label
from kits_core.scan.dicom_seg import write_dicom_seg
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan
from kits_core.source.opening import open_source

AFFINE = np.array([[-0.8, 0, 0, 90], [0, -0.7, 0, 60], [0, 0, 3.0, -500], [0, 0, 0, 1.0]])


@pytest.fixture
def write(dicom, stored):
    """Writes a CT series, and on request the SEG that was drawn on it, somewhere else."""

    def write(folder, patient, *, drawn=None, predicted=False, **tags):
        tags = {"SpecificCharacterSet": "ISO_IR 192", "PatientID": patient, "StudyDate": "20260131", **tags}
        slices = dicom.series(folder, stored, AFFINE, series=hd.UID(), **tags)
        if drawn is not None:
            (scan,) = find_scans([folder]).scans
            volume = read_scan(scan).volume
            labels = np.zeros(volume.shape, np.uint8)
            labels[3:8, 4:9, 2:6] = Label.KIDNEY
            labels[5:7, 5:7, 3:5] = Label.TUMOR
            drawn.parent.mkdir(parents=True, exist_ok=True)
            write_dicom_seg(drawn, labels, volume.affine, scan, algorithm="test", version="1")
            if not predicted:
                data = dcmread(drawn)
                data.Manufacturer = "Slicer"
                data.save_as(drawn)
        return slices

    return write


def test_series_are_cases_and_a_seg_is_matched_by_reference(write, tmp_path):
    write(tmp_path / "a" / "scan", "山田", drawn=tmp_path / "elsewhere" / "1.dcm")
    write(tmp_path / "a" / "later", "山田", StudyDate="20260202", SeriesNumber=7)
    (tmp_path / "notes.txt").write_text("x")
    source = open_source(str(tmp_path))
    assert source.layout == "dicom"
    assert source.cases() == ("山田 2026-01-31 3", "山田 2026-02-02 7")
    first, second = map(source.locate, source.cases())
    assert first.segmentation.address == str(tmp_path / "elsewhere" / "1.dcm")
    assert first.segmentation.dicom.series == first.image.dicom.series
    assert second.segmentation is None
    assert first.patient == second.patient == "山田"


def test_of_a_study_the_series_that_was_drawn_on_counts(write, tmp_path):
    same = {"StudyInstanceUID": "1.2.3.4"}
    write(tmp_path / "thin", "p1", drawn=tmp_path / "seg.dcm", **same)
    write(tmp_path / "thick", "p1", SeriesNumber=4, **same)
    source = open_source(str(tmp_path))
    assert source.cases() == ("p1 2026-01-31 3",)
    assert source.notes[0].startswith("1 CT series beside one that was drawn on are left out, as ")
    (tmp_path / "seg.dcm").unlink()
    source = open_source(str(tmp_path))
    with pytest.raises(CaseError, match=r"p1 2026-01-31: expected one CT series in the study, or a SEG or RTSTRUCT"):
        source.locate(*source.cases())


def test_what_costs_a_case_costs_that_case_alone(write, tmp_path):
    write(tmp_path / "good", "p1")
    write(tmp_path / "twice", "p2", drawn=tmp_path / "1.dcm")
    shutil.copy(tmp_path / "1.dcm", tmp_path / "2.dcm")
    broken = write(tmp_path / "broken", "p3")
    broken[4].write_bytes(broken[4].read_bytes()[:200])
    write(tmp_path / "gone", "p4", drawn=tmp_path / "3.dcm")
    shutil.rmtree(tmp_path / "gone")
    source = open_source(str(tmp_path))
    assert [case[:2] for case in source.cases()] == ["p1", "p2", "p3"]
    assert source.locate(source.cases()[0]).segmentation is None
    with pytest.raises(CaseError, match=r"expected one SEG or RTSTRUCT of its series, got 1\.dcm, 2\.dcm"):
        source.locate(source.cases()[1])
    with pytest.raises(CaseError, match=r"slice_004\.dcm: .*; export the series again"):
        source.locate(source.cases()[2])
    assert any(note.startswith("3.dcm: drawn on a series that is not here, ") for note in source.notes)


def test_names_that_two_series_have_are_told_apart(write, tmp_path):
    first = write(tmp_path / "a", "p", drawn=tmp_path / "1.dcm", StudyInstanceUID="1.2.3")
    write(tmp_path / "b", "p", drawn=tmp_path / "2.dcm", StudyInstanceUID="1.2.3")
    source = open_source(str(tmp_path))
    assert len(source.cases()) == 2
    assert all(case.startswith("p 2026-01-31 3 ") for case in source.cases())
    assert {str(Path(source.locate(case).image.address)) for case in source.cases()} == {
        str(first[0].parent), str(tmp_path / "b")
    }  # fmt: skip


def test_no_ct_among_the_files(write, tmp_path):
    write(tmp_path / "a", "p", Modality="MR")
    with pytest.raises(KitsError, match=r"expected a CT series among the DICOM files, got 12 others; add the scans"):
        open_source(str(tmp_path))


def test_a_prediction_of_ours_is_no_reference(write, tmp_path):
    """Archives give it back with the study: a network must not learn from what it said."""
    write(tmp_path / "ct", "p1", drawn=tmp_path / "segmentation.dcm", predicted=True)
    source = open_source(str(tmp_path))
    assert source.locate(*source.cases()).segmentation is None
    assert source.notes == (
        "segmentation.dcm: a prediction of kits, no reference; kits correct takes one that was corrected",
    )
