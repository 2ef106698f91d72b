"""A plan whose mask a person corrected becomes a case, and a plan beside the old one."""

import json
import shutil

import pytest

from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters, PredictParameters, SplitParameters
from flows.predict import predict
from flows.split import split
from kits_core.errors import CaseError, KitsError
from kits_core.files import sha256_of
from tasks.correct import undo_correction
from tasks.forget import find_forgettable, forget
from tasks.log import scrub

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api", "home")]


@pytest.fixture(autouse=True)
def _scrub_nothing_afterwards():
    yield
    scrub.forget()


def test_a_corrected_plan_becomes_a_case_and_a_plan_beside_the_old_one(begun, scan, hand, tmp_path, monkeypatch):
    mine = shutil.copy(scan, tmp_path / "patient7.nii.gz")
    out = tmp_path / "plans"
    predict(PredictParameters(scans=[str(mine)], out=str(out)))
    plan = out / "patient7"
    before = {path: sha256_of(path) for path in plan.rglob("*") if path.is_file()}
    drawn = hand.drawn(plan / "segmentation.nii.gz", tmp_path / "drawn.seg.nrrd")

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tasks.correct_plan.plan_mask", die)
        hand.correct(plan, drawn)
    done = hand.correct(plan, drawn)
    assert (done.dataset, done.case) == ("corrections", "patient7")
    assert done.page == out / "patient7_corrected" / "plan.html"
    assert done.page.is_file()
    assert {path: sha256_of(path) for path in before} == before
    ((_, _, notes),) = hand.versions("corrections", "patient7")
    assert "after prediction 1 by model 1" in notes[0]
    sources = hand.rows(
        "SELECT f.kind, f.source_url FROM case_file f JOIN \"case\" c ON c.id = f.case_id WHERE c.name = 'patient7'"
    )
    assert ("image", str(mine)) in sources
    assert hand.correct(plan, drawn).changed is False

    second = hand.drawn(plan / "segmentation.nii.gz", tmp_path / "second.seg.nrrd", grow=4)
    assert hand.correct(plan, second).page == out / "patient7_corrected_2" / "plan.html"
    assert len(hand.versions("corrections", "patient7")) == 2
    with pytest.raises(CaseError, match="expected a reference of its source's own to go back to"):
        undo_correction("patient7", None)
    two = shutil.copytree(plan, tmp_path / "copied")
    with pytest.raises(KitsError, match="corrections: expected its source, kits correct, got"):
        ingest(IngestParameters(source=str(scan.parent.parent), dataset="corrections"))
    mine.write_bytes(scan.with_name("segmentation.nii.gz").read_bytes())
    with pytest.raises(CaseError, match=r"expected the scan that the plan was made of at .*got one that has changed"):
        hand.correct(two, second)
    mine.unlink()
    with pytest.raises(CaseError, match=r"expected the plan's scan at .*patient7.nii.gz, got nothing at this path"):
        hand.correct(two, second)
    hand.correct("patient7", drawn)  # which the home has, whatever became of the scan
    assert len(hand.versions("corrections", "patient7")) == 3


def test_cases_of_plans_can_be_split_and_stay_in_another_dataset(begun, phantoms, hand, tmp_path):
    out = tmp_path / "plans"
    for number in (0, 1):
        mine = shutil.copy(phantoms / f"case_0000{number}" / "imaging.nii.gz", tmp_path / f"patient{number}.nii.gz")
        predict(PredictParameters(scans=[str(mine)], out=str(out)))
        drawn = hand.drawn(out / f"patient{number}" / "segmentation.nii.gz", tmp_path / f"{number}.seg.nrrd")
        hand.correct(out / f"patient{number}", drawn)
    made = split(SplitParameters(dataset="corrections", validation=0.5))
    assert (made.train, made.validation) == (1, 1)
    own = hand.drawn(phantoms / "case_00001" / "segmentation.nii.gz", tmp_path / "own.nii.gz")
    done = hand.correct(out / "patient1", own, dataset="phantoms")
    assert (done.dataset, done.case) == ("phantoms", "case_00001")  # which has that very scan
    assert hand.rows("SELECT COUNT(*) FROM \"case\" WHERE name LIKE 'patient%'") == [(2,)]


def test_a_corrected_case_is_forgotten_with_its_masks_and_plans(begun, scan, hand, tmp_path):
    mine = shutil.copy(scan, tmp_path / "Zebedee.nii.gz")
    out = tmp_path / "plans"
    predict(PredictParameters(scans=[str(mine)], out=str(out)))
    plan = out / "Zebedee"
    for grow in (1, 3):
        hand.correct(plan, hand.drawn(plan / "segmentation.nii.gz", tmp_path / "a.seg.nrrd", grow=grow))
    assert (out / "Zebedee_corrected_2").is_dir()
    found = find_forgettable("Zebedee", dataset="corrections")
    forget(found)
    left = [path for path in Settings().home.rglob("*") if "Zebedee" in str(path)]
    left += [p for p in Settings().home.rglob("*") if p.is_file() and b"Zebedee" in p.read_bytes()]
    assert left == []
    assert not Settings().corrections.joinpath("corrections").exists()
    assert [path.name for path in out.iterdir()] == []
    predict(PredictParameters(scans=[str(mine)], out=str(out)))
    drawn = hand.drawn(plan / "segmentation.nii.gz", tmp_path / "a.seg.nrrd")
    with pytest.raises(CaseError, match="got one that was forgotten"):
        hand.correct(plan, drawn)


def test_a_plan_that_names_nobody_is_corrected_without_a_name(begun, scan, write_series, kits, tmp_path):
    series = write_series(scan, tmp_path / "Zimmermannova_CT", t00100020="Quirina-4711", t00100010="Zimmermannova")
    out = tmp_path / "plans"
    kits("predict", str(series), "--out", str(out), "--deidentify")
    (plan,) = out.iterdir()
    drawn = shutil.copy(plan / "segmentation.nii.gz", tmp_path / "Quirina_drawn.nii.gz")
    printed = kits("correct", str(plan), str(drawn))
    assert f"corrections: {plan.name} has " in printed
    corrected = out / f"{plan.name}_corrected"
    assert (corrected / "plan.html").is_file()
    patient = json.loads((corrected / "plan.json").read_text(encoding="utf-8"))["identity"]["patient"]
    assert json.loads(kits("reidentify", patient, "--json"))["patient ID"] == "Quirina-4711"
    found = find_forgettable(patient=patient)
    assert f"corrections: {plan.name}" in found.names
    assert f"plan in {corrected}" in found.names
    files = [path for folder in (begun, out) for path in folder.rglob("*")]
    for word in (b"Quirina", b"Zimmermannova"):
        assert [path for path in files if path.is_file() and word in path.read_bytes()] == []
    assert "nothing to do" in kits("correct", str(corrected), str(drawn))
