"""Predictions of an evaluation as files: their names, their scores, and what is refused."""

import csv
import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from db.settings import Settings
from flows.evaluate import evaluate
from flows.parameters import EvaluateParameters
from kits_core.errors import KitsError
from tasks.export_predictions import export_predictions

pytestmark = pytest.mark.slow


@pytest.fixture
def evaluated(begun):
    """A home with an evaluation of model 1."""
    evaluate(EvaluateParameters(model="1", workers=1))
    return begun


def _voxels(path):
    return np.asarray(nib.load(path).dataobj)


def test_the_files_are_the_predictions_and_the_scores_are_the_catalogs(evaluated, rows, kits, phantoms, tmp_path):
    told = kits("export", "predictions", "1", "--out", str(tmp_path / "plain"))
    assert "evaluation 1: 2 predictions and scores.csv" in told
    kits("export", "predictions", "--model", "1", "--layout", "nnunet", "--out", str(tmp_path / "nnunet"))
    kits("export", "predictions", "--layout", "kits", "--out", str(tmp_path / "kits"))
    cases = [name for (name,) in rows("SELECT DISTINCT case_name FROM case_metric_wide ORDER BY 1")]
    assert sorted(path.name for path in (tmp_path / "plain").iterdir()) == [f"{c}.nii.gz" for c in cases] + [
        "scores.csv"
    ]
    for case in cases:
        kept = evaluated / "predictions" / "evaluation_00001" / f"{case}.nii.gz"
        exported = [
            tmp_path / "plain" / f"{case}.nii.gz",
            tmp_path / "nnunet" / f"{case}.nii",
            tmp_path / "kits" / case / "segmentation.nii.gz",
        ]
        for path in exported:
            assert np.array_equal(_voxels(path), _voxels(kept))
            assert path.stat().st_ino != kept.stat().st_ino
    assert json.loads((tmp_path / "nnunet" / "dataset.json").read_text())["file_ending"] == ".nii"
    with (tmp_path / "plain" / "scores.csv").open(encoding="utf-8") as file:
        dice = {(r["case_id"], r["region"]): float(r["value"]) for r in csv.DictReader(file) if r["metric"] == "dice"}
    assert dice == {(c, r): d for c, r, d in rows("SELECT case_name, region, dice FROM case_metric_wide")}
    references = tmp_path / "references"
    for case in cases:
        shutil.copytree(phantoms / case, references / case)
    scored = kits("score", str(tmp_path / "kits"), str(references), "--csv", str(tmp_path / "again.csv"))
    assert scored
    again = (tmp_path / "again.csv").read_text(encoding="utf-8")
    assert sorted(again.splitlines()) == sorted((tmp_path / "kits" / "scores.csv").read_text("utf-8").splitlines())
    assert "2" in kits("compare", "1", str(tmp_path / "plain" / "scores.csv"))


def test_nothing_of_others_is_written_over_and_nothing_half_is_left(evaluated, kits, tmp_path):
    mine = tmp_path / "mine" / "scores.csv"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert "expected an empty folder or none" in kits("export", "predictions", "1", "--out", str(mine.parent), status=1)
    assert mine.read_text() == "mine"
    with pytest.raises(KitsError, match="expected one of plain, kits, nnunet, got 'msd'"):
        export_predictions(1, None, "msd", tmp_path / "out", lambda *_: None)
    with pytest.raises(KitsError, match="model 2: expected a completed evaluation, got none"):
        export_predictions(None, "2", "plain", tmp_path / "out", lambda *_: None)
    assert kits("export", "predictions", "x", "--out", str(tmp_path / "out"), status=2)
    assert kits("export", "pairs", "--model", "1", "--out", str(tmp_path / "out"), status=2)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_predictions(1, None, "plain", tmp_path / "out", stop)
    next((Settings().predictions / "evaluation_00001").glob("*.nii.gz")).unlink()
    with pytest.raises(KitsError, match=r"evaluation 1: expected .*, got no such file \(1 of 2 are gone\)"):
        export_predictions(1, None, "plain", tmp_path / "out", lambda *_: None)
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == []


def test_the_figures_of_a_report_are_written_for_a_paper(evaluated, rows, kits, tmp_path):
    out = tmp_path / "figures"
    told = kits("report", "1", "--figures", str(out))
    assert f"figures, each as PDF and SVG of two widths, in {out}" in told
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    figures = ["scores", "tumor_volume_agreement", "tumor_dice_over_size", "learning_curve"]
    figures += [f"cases/{case}" for (case,) in rows("SELECT DISTINCT case_name FROM case_metric_wide")]
    wanted = {f"{name}_{width}mm.{kind}" for name in figures for width in (85, 180) for kind in ("pdf", "svg")}
    assert wanted <= names
    assert {name.rpartition(".")[2] for name in names} == {"pdf", "svg", "txt"}
    captions = (out / "captions.txt").read_text(encoding="utf-8")
    assert all(f"{name}: " in captions for name in figures)
    assert "expected an empty folder or none" in kits("report", "1", "--figures", str(out), status=1)
