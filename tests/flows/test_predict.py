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
import SimpleITK as sitk  # noqa: N813
import trimesh

from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters, PredictParameters, PrepareParameters, SplitParameters, TrainParameters
from flows.predict import predict
from flows.prepare import prepare
from flows.split import split
from flows.train import train
from kits_core.errors import KitsError
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe

pytestmark = pytest.mark.slow

RECIPE = Recipe(shape=32)
CONFIG = TrainingConfig(epochs=1, batch_size=2, filters=4, learning_rate=3e-3)
REAL = Path(__file__).parents[3] / "shared" / "ct" / "abdomen_3mm.nii.gz"


@pytest.fixture(scope="module")
def trained(phantoms, prefect_api, tmp_path_factory):
    """A home with a model that learnt little. Not to be changed."""
    home = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KITS_HOME", str(home))
        ingest(IngestParameters(source=str(phantoms), dataset="phantoms"))
        prepare(PrepareParameters(recipe=RECIPE))
        split(SplitParameters())
        train(TrainParameters(recipe=RECIPE, config=CONFIG))
    return home


@pytest.fixture
def begun(trained, home, monkeypatch):
    """A copy of it, the test's own home. In place of what the network learnt, two kidneys are always found."""
    shutil.copytree(trained, home, dirs_exist_ok=True)

    def found(_name, image, *_segmenters):
        voxels = np.indices(image.shape).reshape(3, -1)
        points = (image.affine[:3, :3] @ (voxels - (np.array(image.shape)[:, None] - 1) / 2)).reshape(3, *image.shape)
        labels = np.zeros(image.shape, np.uint8)
        for label, x_mm, radius_mm in ((1, 55, 30), (1, -55, 30), (2, 80, 18)):
            labels[np.linalg.norm(points - np.reshape([x_mm, 0, 0], (3, 1, 1, 1)), axis=0) < radius_mm] = label
        return labels

    monkeypatch.setattr("tasks.predict.segment", found)
    return home


@pytest.fixture
def scan(phantoms):
    return phantoms / "case_00000" / "imaging.nii.gz"


def _write_series(source, folder, modality="CT"):
    """A DICOM series of a NIfTI file, a slice a file."""
    folder.mkdir()
    image = sitk.Cast(sitk.ReadImage(str(source)), sitk.sitkInt16)
    direction = image.GetDirection()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(image.GetDepth()):
        piece = image[:, :, number]
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0008|0018": f"1.2.3.4.{number + 1}", "0008|0060": modality,
            "0020|000d": "1.2.3.1", "0020|000e": "1.2.3.2", "0020|0052": "1.2.3.3", "0020|0013": str(number + 1),
            "0020|0032": "\\".join(map(str, image.TransformIndexToPhysicalPoint((0, 0, number)))),
            "0020|0037": "\\".join(str(direction[at]) for at in (0, 3, 6, 1, 4, 7)),
            "0028|1052": "0", "0028|1053": "1", "0010|0010": "Test", "0010|0020": "1",
            "0008|0020": "20260101", "0008|0030": "120000",
        }  # fmt: skip
        for tag, value in tags.items():
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{number:04d}.dcm"))
        writer.Execute(piece)
    return folder


def test_a_scan_leaves_its_files_and_every_value_in_sql_and_the_second_run_does_nothing(begun, scan, rows, tmp_path):
    asked = PredictParameters(scans=[str(scan)], out=str(tmp_path / "plans"))
    (done,) = predict(asked).planned
    folder = tmp_path / "plans" / "case_00000"
    assert done.page == folder / "plan.html"
    assert sorted(path.name for path in folder.iterdir()) == [
        "plan.html", "plan.json", "segmentation.nii.gz", "surfaces"
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
def test_a_real_scan_gives_the_same_plan_as_nifti_and_as_dicom_and_is_flagged(begun, tmp_path):
    series = _write_series(REAL, tmp_path / "series")
    done = predict(PredictParameters(scans=[str(REAL), str(series)], out=str(tmp_path / "plans")))
    assert [scan.scan for scan in done.planned] == ["abdomen_3mm", "series"]
    one, other = (json.loads((scan.folder / "plan.json").read_text(encoding="utf-8")) for scan in done.planned)
    assert one["tumors"]
    assert (one["tumors"], one["kidneys"], one["flags"]) == (other["tumors"], other["kidneys"], other["flags"])
    assert any(flag.startswith("extent from head to foot 336 mm") for flag in one["flags"])
    labels = nib.load(done.planned[1].folder / "segmentation.nii.gz")
    seg = hd.seg.segread(done.planned[1].folder / "segmentation.dcm")
    voxels = np.count_nonzero(np.asarray(labels.dataobj))
    assert sum(int(np.count_nonzero(frame)) for frame in seg.pixel_array) == voxels


def test_what_is_refused_is_named_and_the_others_go_on(begun, scan, rows, tmp_path):
    magnetic = _write_series(scan, tmp_path / "mr", modality="MR")
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


def test_a_scan_without_a_kidney_is_an_error_that_says_so(begun, scan, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.predict.segment", lambda _name, image, *_: np.zeros(image.shape, np.uint8))
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
    asked = PredictParameters(scans=[str(inbox)], out=str(tmp_path / "plans"), watch=True)
    assert predict(asked).planned == []  # both are too young
    long_ago = time.time() - 3600
    for path in (whole, broken):
        os.utime(path, (long_ago, long_ago))
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
