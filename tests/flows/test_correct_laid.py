"""Corrected masks that someone lays into the home's folder `corrections/`, called after a case or a plan."""

import getpass
import json
import os
import shutil
import time

import nibabel as nib
import numpy as np
import pytest

from db.settings import Settings
from flows.correct import correct_laid
from flows.ingest import ingest
from flows.parameters import IngestParameters, LaidParameters, PredictParameters
from flows.predict import predict
from kits_core.errors import KitsError
from tasks.forget import find_forgettable, forget
from tasks.laid_masks import find_laid, key_of

pytestmark = pytest.mark.usefixtures("prefect_api", "home")

AT_ONCE = LaidParameters(settle_seconds=0)


@pytest.fixture
def source(phantoms, tmp_path):
    """Three cases in a folder of the test's own, ingested."""
    root = tmp_path / "source"
    for case in ("case_00000", "case_00001", "case_00002"):
        shutil.copytree(phantoms / case, root / case)
    ingest(IngestParameters(source=str(root), dataset="phantoms"))
    return root


@pytest.fixture
def folder(home):
    place = home / "corrections"
    place.mkdir(parents=True)
    return place


def _reference(source, case):
    return source / case / "segmentation.nii.gz"


def _names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_mask_called_after_its_case_is_taken_and_put_away_with_a_text(source, folder, hand):
    hand.drawn(_reference(source, "case_00000"), folder / "case_00000.seg.nrrd")
    (folder / "case_00001").mkdir()
    hand.drawn(_reference(source, "case_00001"), folder / "case_00001" / "by hand.nii.gz")
    (folder / ".DS_Store").write_text("x")
    (folder / "Thumbs.db").write_text("x")
    drawn = nib.load(folder / "case_00001" / "by hand.nii.gz").get_fdata()
    done = correct_laid(AT_ONCE)
    assert (done.taken, done.refused) == (["case_00000", "case_00001"], [])
    assert _names(folder / "done") == [
        "case_00000/case_00000.seg.nrrd",
        "case_00000/case_00000.seg.nrrd.txt",
        "case_00001/case_00001.txt",
        "case_00001/case_00001/by hand.nii.gz",
    ]
    text = (folder / "done" / "case_00000" / "case_00000.seg.nrrd.txt").read_text(encoding="utf-8")
    assert text.startswith("The reference of case_00000 of phantoms.\nsegmentation: reference corrected by ")
    note = json.loads((folder / "phantoms" / "case_00000.json").read_text(encoding="utf-8"))
    assert note["by"] == getpass.getuser()
    assert np.array_equal(hand.labels("phantoms", "case_00001"), drawn)
    assert [len(hand.versions(case=case)) for case in ("case_00000", "case_00001", "case_00002")] == [2, 2, 1]
    again = correct_laid(AT_ONCE)
    assert (again.taken, again.refused) == ([], [])
    # The same mask once more: nothing is written over, and it says that nothing was to do.
    shutil.copy(folder / "done" / "case_00000" / "case_00000.seg.nrrd", folder)
    correct_laid(AT_ONCE)
    text = (folder / "done" / "case_00000" / "2_case_00000.seg.nrrd.txt").read_text(encoding="utf-8")
    assert "had just this reference already" in text
    assert len(hand.versions()) == 2


def test_what_is_still_being_copied_waits_whatever_time_it_has(source, folder, hand):
    laid = hand.drawn(_reference(source, "case_00000"), folder / "case_00000.nii.gz")
    os.utime(laid, (time.time() - 3600,) * 2)  # as a copy that keeps the file's time
    assert correct_laid(LaidParameters()).taken == []
    assert laid.is_file()
    before = key_of(find_laid(Settings(), 0))
    assert key_of(find_laid(Settings(), 0)) == before
    with laid.open("ab") as file:
        file.write(b"more")
    assert key_of(find_laid(Settings(), 0)) != before


def test_what_is_refused_is_put_away_with_the_reason_and_the_others_go_on(source, folder, hand):
    hand.drawn(_reference(source, "case_00000"), folder / "case_00000.nii.gz")
    hand.drawn(_reference(source, "case_00000"), folder / "nobody.seg.nrrd")
    (folder / "case_00001.zip").write_bytes(b"PK")
    other = nib.load(_reference(source, "case_00002"))
    nib.save(nib.Nifti1Image(np.zeros((3, 4, 5), np.uint8), other.affine), folder / "case_00002.nii.gz")
    (folder / "two").mkdir()
    for name in ("a.nii.gz", "b.nii.gz"):
        hand.drawn(_reference(source, "case_00001"), folder / "two" / name)
    state = correct_laid(AT_ONCE, return_state=True)
    done = state.result()
    assert done.taken == ["case_00000"]
    assert state.message.startswith("Completed with problems: 4 refused (first: case_00001: expected one mask: NIfTI")
    reasons = {path.parent.name: path.read_text(encoding="utf-8") for path in (folder / "refused").rglob("*.txt")}
    assert set(reasons) == {"case_00001", "case_00002", "nobody", "two"}
    assert "expected the name of a case of the catalog, or of one plan that kits predict wrote" in reasons["nobody"]
    assert "2 things in the folder" in reasons["two"]
    assert "case_00002: expected" in reasons["case_00002"]
    assert (folder / "refused" / "case_00001" / "case_00001.zip").read_bytes() == b"PK"
    assert len(_names(folder / "refused" / "two" / "two")) == 2


def test_a_fault_of_the_machine_leaves_the_mask_where_it_is(source, folder, hand, monkeypatch):
    laid = hand.drawn(_reference(source, "case_00000"), folder / "case_00000.nii.gz")

    def fails(*_, **__):
        raise OSError("the disk is gone")

    monkeypatch.setattr("tasks.correct.read_volume", fails)
    with pytest.raises(OSError, match="the disk is gone"):
        correct_laid(AT_ONCE)
    assert laid.is_file()
    monkeypatch.undo()


def test_the_homes_own_references_are_left_alone(source, folder, hand, tmp_path):
    hand.correct("case_00000", hand.drawn(_reference(source, "case_00000"), tmp_path / "drawn.nii.gz"))
    shutil.copytree(folder / "phantoms", folder / "of another catalog")
    assert find_laid(Settings(), 0) == []
    ingest(IngestParameters(source=str(source), dataset="done"))
    hand.drawn(_reference(source, "case_00000"), folder / "case_00000.nii.gz")
    with pytest.raises(KitsError, match="expected no dataset called done"):
        find_laid(Settings(), 0)


def test_a_case_that_is_forgotten_takes_its_laid_masks_with_it(source, folder, hand):
    hand.drawn(_reference(source, "case_00000"), folder / "case_00000.nii.gz")
    hand.drawn(_reference(source, "case_00001"), folder / "case_00001.nii.gz")
    correct_laid(AT_ONCE)
    forget(find_forgettable("case_00000", dataset="phantoms"))
    assert {path.name for path in (folder / "done").iterdir()} == {"case_00001"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nii.gz", "dcm"])
@pytest.mark.usefixtures("begun")
def test_a_mask_called_after_a_plan_makes_a_case_and_its_plan(scan, hand, write_series, tmp_path, kind):
    series = write_series(scan, tmp_path / "patient7")
    (planned,) = predict(PredictParameters(scans=[str(series)], out=str(tmp_path / "plans"))).planned
    folder = Settings().corrections
    folder.mkdir()
    if kind == "dcm":
        shutil.copy(planned.folder / "segmentation.dcm", folder / "patient7.dcm")
    else:
        hand.drawn(planned.folder / "segmentation.nii.gz", folder / "patient7.nii.gz")
    done = correct_laid(AT_ONCE)
    assert (done.taken, done.refused) == (["patient7"], [])
    assert (tmp_path / "plans" / "patient7_corrected" / "plan.html").is_file()
    text = (folder / "done" / "patient7" / f"patient7.{kind}.txt").read_text(encoding="utf-8")
    assert "The reference of patient7 of corrections." in text
    assert "Its plan: " in text
