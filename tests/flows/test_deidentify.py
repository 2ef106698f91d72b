"""`--deidentify`: what of a patient is planted in the input is in no byte of what a run leaves."""

import gzip
import json
import os
import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from prefect.logging.handlers import APILogWorker
from pydicom import dcmread
from pydicom.uid import UID

from db.settings import Settings
from kits_core.labels import Label
from kits_core.pseudonyms import Pseudonyms, is_pseudonym
from kits_core.scan.dicom_seg import write_dicom_seg
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan
from tasks.log import scrub

pytestmark = pytest.mark.slow

ROOT = "1.2.826.0.1.3680043.9.7777"
PATIENT = {
    "PatientName": "Zimmermannova^Quirina",
    "PatientID": "ZQ-4711-XY",
    "PatientBirthDate": "19370521",
    "AccessionNumber": "ACC8842Z",
    "InstitutionName": "Xanthippe Hospital",
    "ReferringPhysicianName": "Oudenaarde^Wim",
    "StudyDate": "20240229",
    "StudyInstanceUID": f"{ROOT}.1",
    "SeriesInstanceUID": f"{ROOT}.2",
    "SeriesDescription": "Abdomen of Quirina",
}
PLANTED = [
    *("zimmermannova", "quirina", "zq-4711-xy", "19370521", "1937-05-21", "acc8842z", "xanthippe", "oudenaarde"),
    *("20240229", "2024-02-29", ROOT),
]


@pytest.fixture(autouse=True)
def _scrub_nothing_afterwards():
    yield
    scrub.forget()


@pytest.fixture
def series(scan, write_series, tmp_path):
    """A DICOM series that says of whom it is in its folder's name, its files' names and its tags."""
    folder = write_series(scan, tmp_path / "Zimmermannova_CT")
    for number, file in enumerate(sorted(folder.iterdir())):
        data = dcmread(file)
        for keyword, value in PATIENT.items():
            setattr(data, keyword, value)
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = UID(f"{ROOT}.3.{number}")
        data.FrameOfReferenceUID = f"{ROOT}.4"
        data.save_as(folder / f"Quirina_{number:03d}.dcm")
        file.unlink()
    return folder


@pytest.fixture
def found_in(_server):
    """Which planted texts lie in any file below folders, in Prefect's own database and home too, and where."""

    def find(*folders, planted=PLANTED):
        APILogWorker.drain_all(timeout=10)
        places = [*folders, _server[0], Path(os.environ["PREFECT_HOME"])]
        files = [file for place in places for file in place.rglob("*") if file.is_file()]
        assert any(file.name.startswith("prefect.db") for file in files)
        found = []
        for file in files:
            for content in (str(file).encode(), *_contents(file.read_bytes())):
                text = content.lower()
                found += [(word, file) for word in planted for code in _codes(word) if code in text]
        return found

    return find


def _contents(content):
    """A file's bytes, and those of what is packed in it."""
    yield content
    if content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    if content.startswith(b"PK"):
        with zipfile.ZipFile(BytesIO(content)) as packed:
            yield from map(packed.read, packed.namelist())


def _codes(word):
    return word.encode(), word.encode("utf-16-le"), word.encode("utf-16-be")


def test_what_of_a_patient_lies_where_after_a_plain_run(begun, series, kits, found_in, tmp_path):
    """As docs/patients.md says."""
    folder = series.rename(tmp_path / "Plainfield_CT")  # not a word that other tests look for
    kits("predict", str(folder), "--out", str(tmp_path / "plans"))
    found = found_in(begun, tmp_path / "plans", planted=[*PLANTED, "plainfield_ct"])
    lies = {}
    for word, file in found:
        lies.setdefault(word, set()).add(file.name.removesuffix("-wal"))
    assert lies["plainfield_ct"] >= {"plan.json", "plan.html", "catalog.db", "prefect.db", "segmentation.nii.gz"}
    assert lies["zq-4711-xy"] == {"segmentation.dcm", "plan.json", "plan.html"}
    assert lies["19370521"] == lies["acc8842z"] == {"segmentation.dcm"}
    assert lies["2024-02-29"] == {"plan.json", "plan.html"}
    assert lies[ROOT] == {"segmentation.dcm", "plan.json", "catalog.db"}


def test_nothing_of_a_patient_is_left_by_a_prediction(begun, series, kits, found_in, tmp_path):
    two = tmp_path / "Quirina_two"
    shutil.copytree(series, two)
    for file in sorted(series.iterdir()):
        data = dcmread(file)
        data.SeriesInstanceUID, data.SOPInstanceUID = f"{ROOT}.5", f"{data.SOPInstanceUID}.9"
        data.save_as(two / f"other_{file.name}")
    torn = tmp_path / "Zimmermannova.nii.gz"
    torn.write_bytes(b"\x1f\x8b torn")
    out = tmp_path / "plans"
    words = ("predict", str(series), str(two), str(torn), str(tmp_path / "Quirina.nii"), "--out", str(out))
    printed = kits(*words, "--deidentify", status=1)
    assert not [word for word in PLANTED if word in printed.lower()]
    assert printed.count("refused:") == 3
    folders = [folder for folder in out.iterdir() if folder.name != "P-"]
    assert [is_pseudonym(folder.name) for folder in folders] == [True]
    assert found_in(begun, out) == []

    plan = json.loads((folders[0] / "plan.json").read_text(encoding="utf-8"))
    patient = plan["identity"]["patient"]
    assert (plan["scan"], plan["source"]) == (folders[0].name, folders[0].name)
    page = (folders[0] / "plan.html").read_text(encoding="utf-8")
    assert f"<title>Surgical plan: {folders[0].name} · {patient}</title>" in page
    told = json.loads(kits("reidentify", folders[0].name, "--json"))
    assert (told["source"], told["series UID"]) == (str(series), PATIENT["SeriesInstanceUID"])
    assert json.loads(kits("reidentify", patient, "--json"))["patient ID"] == PATIENT["PatientID"]
    _check_segmentation(folders[0] / "segmentation.dcm", patient)

    assert "planned before" in kits("predict", str(series), "--out", str(out), "--deidentify")
    _can_choose_a_series_by_its_pseudonym(kits, two, printed, tmp_path / "chosen")
    assert found_in(begun, tmp_path / "chosen") == []


def _check_segmentation(path, patient):
    data, names = hd.seg.segread(path), Pseudonyms(Settings().pseudonyms)
    assert (data.PatientName, data.PatientID, data.PatientIdentityRemoved) == (patient, patient, "YES")
    assert data.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert (data.PatientBirthDate, data.StudyDate, data.AccessionNumber, data.StudyID) == ("", "", "", "")
    assert data.StudyInstanceUID == names.uid(PATIENT["StudyInstanceUID"])
    assert data.FrameOfReferenceUID == names.uid(f"{ROOT}.4")
    (referenced,) = data.ReferencedSeriesSequence
    assert referenced.SeriesInstanceUID == names.uid(PATIENT["SeriesInstanceUID"])
    assert {one.ReferencedSOPInstanceUID for one in referenced.ReferencedInstanceSequence} == {
        names.uid(f"{ROOT}.3.{number}") for number in range(len(referenced.ReferencedInstanceSequence))
    }
    assert data.pixel_array.any()


def _can_choose_a_series_by_its_pseudonym(kits, folder, printed, out):
    (line,) = [line for line in printed.splitlines() if "one CT series" in line]
    chosen = next(word for word in line.split(": ")[-1].split() if is_pseudonym(word))
    assert "plan: " in kits("predict", str(folder), "--series", chosen, "--out", str(out), "--deidentify")


@pytest.fixture
def hospital(phantoms, tmp_path):
    """Three cases in a folder that is called for a patient, with records and a header that say more; one is torn."""
    source = tmp_path / "Zimmermannova_cases"
    shutil.copytree(phantoms, source, ignore=shutil.ignore_patterns("SHA256SUMS", "case_0000[3-7]"))
    image = nib.load(source / "case_00000" / "imaging.nii.gz")
    image.header["descrip"] = b"Zimmermannova, Quirina"
    nib.save(image, source / "case_00000" / "imaging.nii.gz")
    (source / "case_00001" / "imaging.nii.gz").write_bytes(b"\x1f\x8b Quirina")
    records = json.loads((source / "kits23.json").read_text(encoding="utf-8"))[:3]
    records[0] |= {"patient_id": "ZQ-4711-XY", "name": "Zimmermannova", "born": "1937-05-21", "age_at_nephrectomy": 95}
    records[0] |= {"smoking_history": "as Quirina said"}
    records[2] |= {"bmi": "Zimmermannova"}
    (source / "kits23.json").write_text(json.dumps(records), encoding="utf-8")
    return source


def test_nothing_of_a_patient_is_left_by_an_ingestion(home, hospital, kits, found_in, rows):
    source = hospital
    printed = kits("ingest", "--source", str(source), "--cases", "0-2", "--deidentify", status=1)
    assert not [word for word in PLANTED if word in printed.lower()]
    assert found_in(home) == []
    assert not [file for _, file in found_in(home, planted=["case_0000"]) if file.is_relative_to(home)]

    names = dict(rows('SELECT name, status FROM "case"'))
    told = {json.loads(kits("reidentify", name, "--json"))["case"]: status for name, status in names.items()}
    assert told == {"case_00000": "ingested", "case_00001": "quarantined", "case_00002": "ingested"}
    ((patient, age, smoking),) = rows(
        "SELECT patient_id, age_years, smoking_history FROM clinical_record WHERE patient_id IS NOT NULL"
    )
    assert (age, smoking) == (90, None)
    assert json.loads(kits("reidentify", patient, "--json"))["patient ID"] == "ZQ-4711-XY"
    ((dataset, place),) = rows("SELECT name, source FROM dataset")
    assert json.loads(kits("reidentify", place, "--json"))["text"] == str(source)
    assert is_pseudonym(dataset)
    assert "0 brought in now" in kits("ingest", "--source", str(source), "--cases", "0,2", "--deidentify")


def test_nothing_of_a_patient_is_left_by_an_ingestion_of_dicom(home, series, kits, found_in, rows):
    """The case is called by the patient's id, and the SEG names its patient and series."""
    source = series.with_name("Zimmermannova_export")
    source.mkdir()
    series.rename(source / "Quirina_CT")
    (scan,) = find_scans([source / "Quirina_CT"]).scans
    volume = read_scan(scan).volume
    labels = np.zeros(volume.shape, np.uint8)
    labels[20:30, 20:30, 5:12], labels[23:26, 23:26, 7:9] = Label.KIDNEY, Label.TUMOR
    write_dicom_seg(source / "Quirina_seg.dcm", labels, volume.affine, scan, algorithm="hand", version="1")
    drawn = dcmread(source / "Quirina_seg.dcm")
    drawn.Manufacturer = "Slicer"
    drawn.save_as(source / "Quirina_seg.dcm")
    printed = kits("ingest", "--source", str(source), "--deidentify")
    assert not [word for word in PLANTED if word in printed.lower()]
    assert found_in(home) == []
    ((case, patient),) = rows(
        'SELECT c.name, r.patient_id FROM "case" c JOIN clinical_record r ON r.case_id = c.id WHERE has_segmentation'
    )
    assert is_pseudonym(case)
    assert json.loads(kits("reidentify", case, "--json"))["case"].startswith("ZQ-4711-XY 2024-02-29")
    assert json.loads(kits("reidentify", patient, "--json"))["patient ID"] == "ZQ-4711-XY"
    assert "0 brought in now" in kits("ingest", "--source", str(source), "--deidentify")
    assert found_in(home) == []
