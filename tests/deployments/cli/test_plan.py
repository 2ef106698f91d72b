"""`kits plan` as people call it: a scan and a mask in, a plan out, and nothing of theirs replaced."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from kits_core.phantom.dataset import write_phantoms

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantoms")
    write_phantoms(root, 1, 3, shape=(40, 80, 80), spacing_mm=(5.0, 4.0, 4.0))
    return root / "case_00000"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KITS_HOME", str(tmp_path / "home"))


def _slicer(path, case, names):
    """The case's labels as 3D Slicer writes them."""
    image = SimpleITK.ReadImage(str(case / "segmentation.nii.gz"))
    for number, (value, name) in enumerate(names.items()):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
    SimpleITK.WriteImage(image, str(path), useCompression=True)
    return path


def test_a_mask_becomes_a_plan_without_home_server_or_model(kits_process, case, tmp_path):
    scan, mask = case / "imaging.nii.gz", case / "segmentation.nii.gz"
    done = kits_process("plan", scan, mask, "--out", "plans")
    folder = tmp_path / "plans" / "case_00000"
    assert "plan: plans/case_00000/plan.html" in done.stdout
    assert "Not a medical device" in done.stdout
    record = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert (record["source"], record["mask"]) == (str(scan), str(mask))
    assert record["tumors"]
    assert record["lineage"]["segmentation"] == f"{mask}, not made by this software"
    assert "1: kidney, 2: tumor" in record["lineage"]["read as"]
    labels = nib.load(folder / "segmentation.nii.gz")
    assert np.array_equal(labels.get_fdata(), nib.load(mask).get_fdata())
    written = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"plan.json", "plan.html", "kits-files.json", "surfaces/surfaces.glb", "surfaces/tumor_1.stl"} <= written
    assert [path.name for path in (tmp_path / "plans").iterdir()] == ["case_00000"]
    assert not (tmp_path / "home").exists()


def test_segments_need_a_meaning_and_get_it_by_label(kits, case, tmp_path):
    mask = _slicer(tmp_path / "m.seg.nrrd", case, {1: "Kidney, both", 2: "Lesion", 3: "cyst"})
    failed = kits("plan", case / "imaging.nii.gz", mask, "--out", "plans", status=1)
    assert "got also 'Kidney, both', 'Lesion'" in failed.stderr
    assert '--label "NAME=kidney|tumor|cyst|background"' in failed.stderr
    assert list((tmp_path / "plans").glob("*")) == []
    told = ("--label", "kidney, BOTH=kidney", "--label", "Lesion=tumor")
    found = json.loads(kits("plan", case / "imaging.nii.gz", mask, "--out", "plans", *told, "--json").stdout)
    assert found["page"] == "plans/case_00000/plan.html"
    assert found["tumors"]
    wrong = kits("plan", case / "imaging.nii.gz", mask, "--out", "plans", "--label", "Lesion", status=1)
    assert "expected NAME=kidney|tumor|cyst|background, got no '='" in wrong.stderr


def test_what_a_person_changed_and_the_plan_of_another_mask_stay(kits, case, tmp_path):
    scan, mask, folder = case / "imaging.nii.gz", case / "segmentation.nii.gz", tmp_path / "plans" / "case_00000"
    kits("plan", scan, mask, "--out", "plans")
    kits("plan", scan, mask, "--out", "plans")  # its own results give way
    copy = shutil.copy(mask, tmp_path / "other.nii.gz")
    before = (folder / "plan.json").read_bytes()
    other = kits("plan", scan, copy, "--out", "plans", status=1)
    assert f"expected no plan of another segmentation in plans/case_00000, got one of {mask}" in other.stderr
    (folder / "plan.html").write_text("my notes", encoding="utf-8")
    changed = kits("plan", scan, mask, "--out", "plans", status=1)
    assert "plan.html, which kits did not write or which was changed since" in changed.stderr
    assert (folder / "plan.html").read_text(encoding="utf-8") == "my notes"
    assert (folder / "plan.json").read_bytes() == before
    inside = kits("plan", scan, mask, "--out", case.parent, status=1)
    assert "expected a folder for results alone" in inside.stderr
    assert sorted(path.name for path in case.iterdir()) == ["imaging.nii.gz", "segmentation.nii.gz"]


def test_what_is_no_single_scan_is_refused(kits, case, tmp_path):
    shutil.copy(case / "imaging.nii.gz", tmp_path / "b.nii.gz")
    shutil.copy(case / "imaging.nii.gz", tmp_path / "a.nii.gz")
    several = kits("plan", tmp_path, case / "segmentation.nii.gz", "--out", "plans", status=1)
    assert "expected one scan, got 2: a.nii.gz, b.nii.gz; name one of them" in several.stderr
    none = kits("plan", tmp_path / "none.nii", case / "segmentation.nii.gz", "--out", "plans", status=1)
    assert "nothing at this path" in none.stderr
