"""A folder as readers have it: data, a home with two models and two evaluations. Made once, copied for each page."""

import json
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import SimpleITK
from sqlalchemy import text

from db import engine
from db.engine import open_catalog
from db.settings import Settings
from deployments.cli import main
from kits_core.phantom.dataset import write_phantoms

CASES = [f"site{site}_{number:02d}" for site in (1, 2) for number in (1, 2, 3)]
TRAINING = (
    *("--shape", "32", "--filters", "8", "--batch-size", "1", "--normalisation", "instance"),
    *("--learning-rate", "5e-3", "--final-learning-rate", "1e-4"),
)
"""A network that finds kidneys among phantoms after some seconds."""


class Kits:
    """Runs verbs in this process, as a terminal would; `run` gives exit status and what was printed."""

    def __init__(self, capsys):
        self._capsys = capsys

    def run(self, words, settings):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["kits", *words])
            for name, value in settings.items():
                patch.setenv(name, value)
            self._capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        printed = self._capsys.readouterr()
        return ended.value.code or 0, printed.out + printed.err


@pytest.fixture(scope="session")
def scene(tmp_path_factory, prefect_api):
    """The template, and the place for its copies: always the same, because a home remembers where data came from."""
    template, place = tmp_path_factory.mktemp("scene") / "template", tmp_path_factory.mktemp("reader") / "folder"
    place.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("MPLBACKEND", "Agg")
        _data(place)
        for words in (
            ["ingest", "--source", "./hospital"],
            ["records", "patients.xlsx", "--column", "Fall=case", "--column", "Alter=age_years", "--yes"],
            ["prepare", "--shape", "32"],
            ["split"],
            ["train", *TRAINING, "--epochs", "20", "--selection-cases", "1"],
            ["train", *TRAINING, "--epochs", "1", "--seed", "1"],
            ["evaluate", "--model", "1"],
            ["evaluate", "--model", "2"],
            ["promote", "1"],
        ):
            if words[0] == "promote":  # readers have a network that finds tumours, too
                with open_catalog(Settings()).begin() as connection:
                    connection.execute(
                        text("UPDATE epoch_metric SET value = 0.2 WHERE name LIKE '%_dice' AND value = 0")
                    )
            patch.setattr(sys, "argv", ["kits", *words])
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code, words
    _close()
    shutil.copytree(place, template)
    return SimpleNamespace(template=template, place=place)


@pytest.fixture
def reader(scene, monkeypatch, capsys, tmp_path):
    """A reader in a fresh copy of the folder, whose shell finds `kits`."""
    _close()
    _empty(scene.place)
    shutil.copytree(scene.template, scene.place, dirs_exist_ok=True)
    program = tmp_path / "bin" / "kits"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from deployments.cli import main; main()" "$@"\n')
    program.chmod(0o755)
    monkeypatch.chdir(scene.place)
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(program.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    monkeypatch.setenv("MPLBACKEND", "Agg")
    yield SimpleNamespace(folder=scene.place, kits=Kits(capsys))
    _close()


def _empty(folder):
    """Delete all that is in a folder, which stays: processes stand in it, and may still write for a moment."""
    for _ in range(40):
        with suppress(OSError):
            for entry in folder.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            return
        time.sleep(0.5)
    raise AssertionError(f"{folder}: something goes on writing here")


def _close():
    """Let no engine hold a catalog that is about to be replaced."""
    engine._open.cache_clear()
    engine._open_home.cache_clear()


def _data(place):
    phantoms = place / "phantoms"
    names = write_phantoms(phantoms, len(CASES) + 2, 5, shape=(32, 128, 128), spacing_mm=(6.0, 2.6, 2.6))
    folders = dict(zip([*CASES, "patient7", "ct"], [phantoms / name for name in names], strict=True))
    for folder, mask_folder, image_as, mask_as in (
        ("hospital/images", "hospital/masks", "{}", "{}"),
        ("clinic/images", "clinic/masks", "{}", "{}"),
        ("mixed/all", "mixed/all", "{}_ct", "{}_seg"),
        ("Dataset501_Renal/imagesTr", "Dataset501_Renal/labelsTr", "{}_0000", "{}"),
    ):
        for name in CASES if folder.startswith("hospital") else CASES[:2]:
            _copy(folders[name] / "imaging.nii.gz", place / folder / f"{image_as.format(name)}.nii.gz")
            _copy(folders[name] / "segmentation.nii.gz", place / mask_folder / f"{mask_as.format(name)}.nii.gz")
    described = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "kidney": 1, "renal mass": 2, "ureter": 3},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    (place / "Dataset501_Renal" / "dataset.json").write_text(json.dumps(described))
    (place / "labels.yaml").write_text("renal mass: tumor\nureter: background\n")
    for patient in ("patient7", "doe"):
        _series(folders["patient7"] / "imaging.nii.gz", place / "exports" / patient, patient)
    _copy(folders["ct"] / "imaging.nii.gz", place / "ct.nii.gz")
    for mask, case in (("drawn", "ct"), ("fixed", "ct"), ("patient7", "patient7"), ("site1_02", "site1_02")):
        _drawn(folders[case] / "segmentation.nii.gz", place / f"{mask}.seg.nrrd", shrink=mask != "drawn")
    _folds(place)
    _tables(place)
    for number, name in enumerate(CASES[:2]):
        mask = folders[name] / "segmentation.nii.gz"
        _copy(mask, place / "references" / f"case_0000{number}.nii.gz")
        _copy(mask, place / "predictions" / f"case_0000{number}.nii.gz")
        _copy(mask, place / "their_predictions" / f"case_0000{number}_pred.nii.gz")
    shutil.rmtree(phantoms)


def _copy(file, target):
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _drawn(mask, target, *, shrink):
    """A mask as 3D Slicer writes it, its tumour a slice shorter where a person has corrected it."""
    image = SimpleITK.ReadImage(str(mask))
    if shrink:
        labels = SimpleITK.GetArrayFromImage(image)
        planes = np.unique(np.nonzero(labels == 2)[0])
        labels[planes[-1]][labels[planes[-1]] == 2] = 1
        corrected = SimpleITK.GetImageFromArray(labels)
        corrected.CopyInformation(image)
        image = corrected
    for number, name in enumerate(("kidney", "tumor", "cyst")):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
    SimpleITK.WriteImage(image, str(target), useCompression=True)


def _series(nifti, folder, patient):
    """A scan as a DICOM series, a slice a file."""
    folder.mkdir(parents=True)
    image = SimpleITK.Cast(SimpleITK.ReadImage(str(nifti)), SimpleITK.sitkInt16)
    image = SimpleITK.DICOMOrient(image, "LPS")
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    series = sum(map(ord, patient))
    for number in range(image.GetDepth()):
        piece = image[:, :, number]
        direction = image.GetDirection()
        tags = {
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2", "0008|0018": f"1.2.3.{series}.{number + 1}", "0008|0060": "CT",
            "0020|000d": f"1.2.3.{series}.1000", "0020|000e": f"1.2.3.{series}.2000",
            "0020|0052": f"1.2.3.{series}.3000", "0020|0013": str(number + 1), "0010|0010": patient,
            "0010|0020": patient, "0008|0020": "20260101", "0008|0030": "120000", "0028|1052": "0", "0028|1053": "1",
            "0020|0032": "\\".join(map(str, image.TransformIndexToPhysicalPoint((0, 0, number)))),
            "0020|0037": "\\".join(str(direction[at]) for at in (0, 3, 6, 1, 4, 7)),
        }  # fmt: skip
        for tag, value in tags.items():
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{number:04d}.dcm"))
        writer.Execute(piece)


def _folds(place):
    folds = [{"train": CASES[3:], "val": CASES[:3]}, {"train": CASES[:3], "val": CASES[3:]}]
    (place / "splits_final.json").write_text(json.dumps(folds))
    rows = [f"{name},{number % 2}" for number, name in enumerate(CASES)]
    (place / "folds.csv").write_text("\n".join(["case,fold", *rows]) + "\n")


def _tables(place):
    rows = [{"Fall": name, "Alter": 50 + number, "patient_id": str(4711 + number)} for number, name in enumerate(CASES)]
    pd.DataFrame(rows).to_excel(place / "patients.xlsx", index=False)
