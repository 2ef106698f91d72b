"""`kits score` and `kits compare` as people call them: no catalog, no network, files in and scores out."""

import csv
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import nibabel as nib
import numpy as np
import pytest

from deployments.cli.score import _score_all
from kits_core.labels import REGIONS
from kits_core.metrics.folders import Pair
from kits_core.metrics.known import metrics_of
from kits_core.metrics.score import Status
from kits_core.phantom.dataset import write_phantoms


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    root = tmp_path_factory.mktemp("references")
    write_phantoms(root, 4, 3, shape=(16, 48, 48), spacing_mm=(8.0, 7.0, 7.0))
    return root


@pytest.fixture
def predictions(references, tmp_path):
    folder = tmp_path / "predictions"
    folder.mkdir()
    for case in sorted(references.glob("case_*")):
        image = nib.load(case / "segmentation.nii.gz")
        moved = np.roll(np.asarray(image.dataobj), 1, axis=2).astype(np.uint8)
        nib.save(nib.Nifti1Image(moved, image.affine), folder / f"{case.name}.nii.gz")
    return folder


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_all_scored_in_a_table_and_a_long_csv_and_no_catalog_made(kits_process, predictions, references, tmp_path):
    done = kits_process("score", predictions, references, "--csv", "scores.csv")
    assert "official: mean Dice 0." in done.stdout
    assert "0.835 and 0.723" in " ".join(done.stdout.split())
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["case_id", "region", "metric", "value", "status"]
    assert len(rows) == 4 * sum(len(metrics_of(region)) for region in REGIONS)
    assert all(0 < float(row["value"]) < 1 for row in rows if (row["region"], row["metric"]) == ("kidney", "dice"))
    assert not (tmp_path / "kits-home").exists()


def test_a_name_is_no_formula_and_no_file_is_replaced(kits, references, tmp_path):
    for folder in ("predictions", "truth"):
        (tmp_path / folder).mkdir()
        shutil.copy(references / "case_00000" / "segmentation.nii.gz", tmp_path / folder / "=1+1\x1b[2J.nii.gz")
    (tmp_path / "theirs.csv").write_text("mine")
    refused = kits("score", "predictions", "truth", "--csv", "theirs.csv", status=1)
    assert "theirs.csv: expected no file there yet, got one of 4 bytes" in refused.stderr
    assert "official" not in refused.stdout
    kits("score", "predictions", "truth", "--csv", "scores.csv")
    cases = {line.partition(",")[0] for line in (tmp_path / "scores.csv").read_text("utf-8").splitlines()[1:]}
    assert cases == {"'=1+1\ufffd[2J"}
    assert (tmp_path / "theirs.csv").read_text() == "mine"


def test_one_worker_and_two_measure_the_same(kits, predictions, references):
    one, two = (kits("score", predictions, references, "--workers", n, "--csv", f"{n}.csv") for n in (1, 2))
    assert one.stdout.replace("1.csv", "2.csv") == two.stdout


def test_what_is_wrong_is_named_the_rest_scored_and_the_status_1(kits, predictions, references):
    (predictions / "case_00000.nii.gz").unlink()
    (predictions / "case_00001.nii.gz").write_bytes(b"")
    image = nib.load(predictions / "case_00002.nii.gz")
    nib.save(image, predictions / "case_00077.nii.gz")
    found = json.loads(kits("score", predictions, references, "--json", status=1).stdout)
    assert [problem.partition(":")[0] for problem in found["problems"]] == ["case_00000", "case_00001", "case_00077"]
    tumor = next(row for row in found["summary"] if (row["region"], row["metric"]) == ("tumor", "hausdorff_mm"))
    assert (tumor["cases"], tumor["failures"]) == (4, 2)
    assert tumor["penalised_mean"] > tumor["mean"]


class Deadly(str):
    """Ends the process that unpickles it, as one that ran out of memory ends."""

    __slots__ = ()

    def __reduce_ex__(self, protocol):
        return os._exit, (9,)


def test_a_process_that_dies_costs_its_own_pair(references):
    good = [Pair(case.name, case / "segmentation.nii.gz", case / "segmentation.nii.gz")
            for case in sorted(references.glob("case_*"))]  # fmt: skip
    bad = [replace(good[1], prediction=cast("Path", Deadly("x"))), replace(good[2], case=Deadly("case_00002"))]
    done = {pair.case: pair for pair in _score_all([good[0], *bad, good[3]], 2, resample=False)}
    assert done["case_00000"].problem is done["case_00003"].problem is None
    assert {score.status for score in done["case_00001"].scores} == {Status.MISSING}
    assert done["case_00001"].problem.endswith("look at the size of its files; it counts as zero")
    assert done["case_00002"].scores == ()
    assert "because memory ran out; look at the size of its files; the case is left out" in done["case_00002"].problem


def test_a_selection_is_all_that_is_missed(kits, predictions, references):
    (predictions / "case_00000.nii.gz").unlink()
    assert json.loads(kits("score", predictions, references, "--json", "--cases", "1-3").stdout)["cases"] == 3


def test_wrong_folders_say_so(kits, predictions, tmp_path):
    assert "expected a folder of segmentations" in kits("score", predictions, tmp_path / "no", status=1).stderr


def test_two_files_of_scores_compared(kits, predictions, references):
    kits("score", references, references, "--csv", "perfect.csv")
    kits("score", predictions, references, "--csv", "moved.csv")
    found = json.loads(kits("compare", "moved.csv", "perfect.csv", "--json").stdout)
    tumor = next(row for row in found["summary"] if (row["region"], row["metric"]) == ("tumor", "dice"))
    assert (tumor["pairs"], tumor["better"], tumor["second"]) == (4, 4, 1.0)
    assert found["worse"] == []
    assert "tumour Dice got worse" in kits("compare", "perfect.csv", "moved.csv").stdout
    assert "got neither" in kits("compare", "nothing.csv", "moved.csv", status=1).stderr


def test_scoring_imports_neither_tensorflow_nor_prefect_nor_sql(predictions, references):
    code = (
        f"import sys\nsys.argv = ['kits', 'score', {str(predictions)!r}, {str(references)!r}, '--workers', '1']\n"
        "from deployments.cli import main\ntry: main()\nexcept SystemExit: pass\n"
        "sys.exit(str([m for m in ('tensorflow', 'keras', 'prefect', 'sqlalchemy') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip().endswith("[]"), done.stderr
