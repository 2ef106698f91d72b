"""Scans from outside the catalog: as NIfTI and DICOM, refused and done before, from the command line and an inbox."""

import json
import os
import shutil
import time
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
import trimesh

from db.settings import Settings
from flows.parameters import PredictParameters
from flows.predict import predict
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.scan.read import read_scan

pytestmark = pytest.mark.slow

REAL = Path(__file__).parents[3] / "shared" / "ct" / "abdomen_3mm.nii.gz"


def test_a_scan_leaves_its_files_and_every_value_in_sql_and_the_second_run_does_nothing(begun, scan, rows, tmp_path):
    asked = PredictParameters(scans=[str(scan)], out=str(tmp_path / "plans"))
    (done,) = predict(asked).planned
    folder = tmp_path / "plans" / "case_00000"
    assert done.page == folder / "plan.html"
    assert sorted(path.name for path in folder.iterdir()) == [
        "kits-files.json", "plan.html", "plan.json", "segmentation.nii.gz", "surfaces"
    ]  # fmt: skip
    image, labels = nib.load(scan), nib.load(folder / "segmentation.nii.gz")
    assert labels.shape == image.shape
    assert np.allclose(labels.affine, image.affine)
    assert trimesh.load(folder / "surfaces" / "tumor_1.stl").is_watertight
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    stored = {
        (s, m): v for s, m, v in rows("SELECT structure, measurement, value FROM plan_measurement") if v is not None
    }
    (first, *_) = plan["tumors"]
    assert stored["tumor_1", "diameter_mm"] == pytest.approx(first["values"]["diameter_mm"]["value"])
    assert stored["tumor_1", "renal_r"] == first["renal"]["components"][0]["points"]
    ((status, model, tumors),) = rows("SELECT status, model_id, tumors FROM prediction_overview")
    assert (status, model, tumors) == ("completed", 1, len(plan["tumors"]))
    assert next(Settings().runs.rglob("training_range.json")).is_file()

    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    again = predict(asked)
    assert (again.planned, again.done) == ([], [folder])
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.skipif(not REAL.is_file(), reason="shared/ct is not beside this checkout")
def test_a_real_scan_gives_the_same_plan_as_nifti_and_as_dicom_and_is_flagged(begun, tmp_path, write_series):
    series = write_series(REAL, tmp_path / "series")
    done = predict(PredictParameters(scans=[str(REAL), str(series)], out=str(tmp_path / "plans")))
    assert [scan.scan for scan in done.planned] == ["abdomen_3mm", "series"]
    one, other = (json.loads((scan.folder / "plan.json").read_text(encoding="utf-8")) for scan in done.planned)
    assert one["tumors"]
    heads = [planned.page.read_text(encoding="utf-8").partition("Read with care")[0] for planned in done.planned]
    assert "<dt>File</dt><dd>abdomen_3mm.nii.gz</dd>" in heads[0]
    for text in ("<dd>Test</dd>", "<dt>Patient ID</dt><dd>1</dd>", "<dd>2026-01-01</dd>", "<dd>not stated</dd>"):
        assert text in heads[1]
    assert "<title>Surgical plan: series · Test · 1 · 2026-01-01</title>" in heads[1]
    assert [(plan["identity"]["patient"], plan["identity"]["file"]) for plan in (one, other)] == [
        (None, "abdomen_3mm.nii.gz"),
        ("Test", None),
    ]
    assert (other["identity"]["study_date"], other["identity"]["series_uid"]) == ("2026-01-01", "1.2.3.2")
    assert (one["tumors"], one["kidneys"], one["flags"]) == (other["tumors"], other["kidneys"], other["flags"])
    assert any(flag.startswith("extent from head to foot 336 mm") for flag in one["flags"])
    labels = nib.load(done.planned[1].folder / "segmentation.nii.gz")
    seg = hd.seg.segread(done.planned[1].folder / "segmentation.dcm")
    voxels = np.count_nonzero(np.asarray(labels.dataobj))
    assert sum(int(np.count_nonzero(frame)) for frame in seg.pixel_array) == voxels


def test_what_was_mended_in_a_dicom_seg_or_why_there_is_none_is_said_at_once(begun, scan, tmp_path, write_series):
    mended = write_series(scan, tmp_path / "mended", t00100030="19501399")
    lacking = write_series(scan, tmp_path / "lacking", t00200052="")
    done = predict(PredictParameters(scans=[str(mended), str(lacking)], out=str(tmp_path / "plans")))
    written, not_written = done.planned
    assert "DICOM SEG: PatientBirthDate left empty, as the series' values cannot be copied" in written.remarks
    assert (written.folder / "segmentation.dcm").is_file()
    (remark,) = [remark for remark in not_written.remarks if "DICOM SEG" in remark]
    assert remark.startswith("no DICOM SEG was written: lacking: expected FrameOfReferenceUID in every slice")
    assert not (not_written.folder / "segmentation.dcm").exists()
    assert "PatientBirthDate left empty" in written.page.read_text(encoding="utf-8")


def test_what_is_refused_is_named_and_the_others_go_on(begun, scan, rows, tmp_path, write_series):
    magnetic = write_series(scan, tmp_path / "mr", modality="MR")
    flat, empty = tmp_path / "flat.nii.gz", tmp_path / "empty"
    nib.save(nib.Nifti1Image(np.zeros((64, 64), np.int16), np.eye(4)), flat)
    empty.mkdir()
    torn = tmp_path / "torn.nii.gz"
    torn.write_bytes(scan.read_bytes()[:-5000])
    scans = [str(path) for path in (magnetic, flat, empty, torn, scan)]
    done = predict(PredictParameters(scans=scans, out=str(tmp_path / "plans")))
    assert [planned.scan for planned in done.planned] == ["case_00000"]
    assert len(done.refused) == 4
    for name in ("mr", "flat", "empty", "torn"):
        (reason,) = [reason for reason in done.refused if name in reason.partition(":")[0]]
        assert "expected" in reason
    failed = {name for (name,) in rows("SELECT scan FROM prediction_overview WHERE status = 'failed'")}
    assert failed == {"flat", "mr", "torn"}


def test_what_was_odd_in_a_header_is_said_to_whoever_asked(begun, scan, rows, tmp_path):
    image = nib.load(scan)
    odd = nib.Nifti1Image(np.asarray(image.dataobj)[..., None], image.affine)
    odd.set_qform(image.affine + np.pad([[3.0]], ((2, 1), (3, 0))), 1)
    odd.set_sform(image.affine, 1)
    odd.header.set_xyzt_units("mm")
    odd.to_filename(tmp_path / "odd.nii.gz")
    (planned,) = predict(PredictParameters(scans=[str(tmp_path / "odd.nii.gz")], out=str(tmp_path / "plans"))).planned
    for note in (
        "a fourth axis of length 1 was left out",
        "sform and qform lay it in two places, corners 3.0 mm apart: the sform was taken",
    ):
        assert note in planned.remarks
        assert note in planned.page.read_text(encoding="utf-8")
        assert note in json.loads(rows("SELECT notes FROM prediction")[0][0])


def test_a_fault_of_ours_is_that_scans_and_says_so(begun, scan, rows, tmp_path, monkeypatch):
    odd = tmp_path / "odd.nii.gz"
    shutil.copy(scan, odd)

    def fails(found):
        if found.name == "odd":
            raise ZeroDivisionError("integer modulo by zero")
        return read_scan(found)

    monkeypatch.setattr("tasks.predict.read_scan", fails)
    done = predict(PredictParameters(scans=[str(odd), str(scan)], out=str(tmp_path / "plans")))
    assert [planned.scan for planned in done.planned] == ["case_00000"]
    (reason,) = done.refused
    assert reason.startswith("odd: expected to work on it, got an error that is no refusal (ZeroDivisionError: integer")
    assert rows("SELECT error FROM prediction WHERE status = 'failed'") == [(reason,)]


@pytest.mark.usefixtures("begun")
def test_a_scan_without_a_kidney_is_an_error_that_says_so(painted, scan, rows, tmp_path, monkeypatch):
    def nothing(_self, images):
        return np.broadcast_to(np.array([1, 0, 0], np.float32), (*images.shape[:4], 3))

    monkeypatch.setattr(painted, "predict_on_batch", nothing)
    with pytest.raises(KitsError, match="case_00000: expected a kidney in the segmentation, got nothing labelled"):
        predict(PredictParameters(scans=[str(scan)], out=str(tmp_path / "plans")))
    ((status, error),) = rows("SELECT status, error FROM prediction_overview")
    assert status == "failed"
    assert "nothing labelled" in error


def test_an_inbox_waits_for_what_is_being_copied_and_leaves_what_was_refused(begun, scan, rows, tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    whole, broken = inbox / "whole.nii.gz", inbox / "broken.nii.gz"
    shutil.copy(scan, whole)
    broken.write_bytes(scan.read_bytes()[:-5000])
    long_ago = time.time() - 3600
    for path in (whole, broken):
        os.utime(path, (long_ago, long_ago))  # as a copy that keeps the files' times
    asked = PredictParameters(scans=[str(inbox)], out=str(tmp_path / "plans"), watch=True)
    assert predict(asked).planned == []  # both are too young
    time.sleep(1.1)
    asked = asked.model_copy(update={"settle_seconds": 1})
    first = predict(asked)
    assert ([planned.scan for planned in first.planned], len(first.refused)) == (["whole"], 1)
    second = predict(asked)
    assert (second.planned, second.refused, second.done) == ([], [], [tmp_path / "plans" / "whole"])
    assert rows("SELECT COUNT(*) FROM prediction") == [(2,)]


def test_the_plan_of_another_scan_is_not_overwritten(begun, phantoms, tmp_path):
    out = str(tmp_path / "plans")
    predict(PredictParameters(scans=[str(phantoms / "case_00000")], out=out))
    other = tmp_path / "case_00000"
    shutil.copytree(phantoms / "case_00000", other)
    with pytest.raises(KitsError, match="expected no plan of another scan"):
        predict(PredictParameters(scans=[str(other)], out=out))


def test_a_reference_or_a_corrected_segmentation_is_never_overwritten(begun, phantoms, tmp_path):
    hospital = tmp_path / "hospital"
    shutil.copytree(phantoms / "case_00000", hospital / "case_00000")
    before = {path: sha256_of(path) for path in hospital.rglob("*.gz")}
    with pytest.raises(KitsError, match=r"case_00000: expected a folder for results alone, got .*holds the scan"):
        predict(PredictParameters(scans=[str(hospital)], out=str(hospital)))
    with pytest.raises(KitsError, match=r"got .*, one in .*, which a dataset comes from; choose another --out"):
        predict(PredictParameters(scans=[str(hospital)], out=str(phantoms / "plans")))
    assert {path: sha256_of(path) for path in hospital.rglob("*.gz")} == before
    assert {path.name for path in hospital.rglob("*")} == {"case_00000", "imaging.nii.gz", "segmentation.nii.gz"}

    out = tmp_path / "plans"
    asked = PredictParameters(scans=[str(hospital)], out=str(out))
    predict(asked)
    corrected = out / "case_00000" / "segmentation.nii.gz"
    shutil.copy(hospital / "case_00000" / "segmentation.nii.gz", corrected)
    theirs = {path: sha256_of(path) for path in out.rglob("*") if path.is_file()}
    with pytest.raises(KitsError, match=r"got segmentation.nii.gz, which kits did not write or which was"):
        predict(asked.model_copy(update={"flips": True}))
    assert {path: sha256_of(path) for path in out.rglob("*") if path.is_file()} == theirs
    assert [folder.name for folder in out.iterdir()] == ["case_00000"]


def test_the_mean_of_several_networks_counts_and_all_are_noted(begun, networks, scan, rows, tmp_path):
    networks["00002"] = 0.3  # alone it says kidney; the mean of both says tumour

    def tumors(model):
        (done,) = predict(PredictParameters(scans=[str(scan)], out=str(tmp_path / model), model=model)).planned
        return len(done.tumors)

    assert (tumors("2"), tumors("1,2")) == (0, 1)
    assert rows("SELECT models, model_id FROM prediction_overview ORDER BY prediction_id") == [(1, 2), (2, 1)]
    with pytest.raises(KitsError, match="models of one recipe to average, got several"):
        predict(PredictParameters(scans=[str(scan)], out=str(tmp_path / "both"), model="1,3"))


def test_a_network_of_the_kidneys_looks_where_one_of_the_whole_scan_finds_them(begun, scan, rows, tmp_path):
    for model in ("1", "3"):
        predict(PredictParameters(scans=[str(scan)], out=str(tmp_path / model), model=model))
    whole, box = (
        np.asarray(nib.load(tmp_path / model / "case_00000" / "segmentation.nii.gz").dataobj) for model in ("1", "3")
    )
    # What it paints, it paints within the box, which is smaller than the scan.
    assert 0 < np.count_nonzero(box) < np.count_nonzero(whole) / 2
    assert rows("SELECT model_id, locates FROM prediction_model WHERE prediction_id = 2 ORDER BY id") == [
        (3, 0),
        (1, 1),
    ]
    plan = json.loads((tmp_path / "3" / "case_00000" / "plan.json").read_text(encoding="utf-8"))
    assert plan["lineage"]["kidneys found by"] == "model 1"
