"""What is forgotten leaves no byte and no row in the home, and stays out; other patients stay as they are."""

import shutil

import pytest

from db.engine import catalog_session
from db.models import TrainedCase
from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters, PredictParameters, PrepareParameters
from flows.predict import predict
from flows.prepare import prepare
from kits_core.errors import KitsError
from kits_core.recipe import Recipe
from tasks.forget import find_forgettable, forget

pytestmark = pytest.mark.usefixtures("prefect_api", "home")


@pytest.fixture
def hospital(phantoms, tmp_path):
    root = tmp_path / "hospital"
    for folder, file in (("images", "imaging"), ("masks", "segmentation")):
        (root / folder).mkdir(parents=True)
        for case, name in (("case_00000", "张三"), ("case_00001", "Zebedee Q"), ("case_00002", "other")):
            shutil.copy(phantoms / case / f"{file}.nii.gz", root / folder / f"{name}.nii.gz")
    return root


def _ingest(root):
    return ingest(IngestParameters(source=str(root), dataset="hospital"))


def _left(word):
    """Files whose path or content has a word; what Prefect keeps is another matter (docs/patients.md)."""
    home = Settings().home
    files = (path for path in home.rglob("*") if path.is_file() and path.relative_to(home).parts[0] != "prefect")
    return [path for path in files if word in str(path) or word.encode() in path.read_bytes()]


_HASHES = "SELECT sha256 FROM case_file f JOIN \"case\" c ON c.id = f.case_id WHERE c.name = 'other' ORDER BY 1"


def test_cases_go_with_all_that_was_made_of_them(hospital, rows):
    _ingest(hospital)
    prepare(PrepareParameters(recipe=Recipe(shape=32)))
    before = rows(_HASHES)
    assert _left("Zebedee")
    found = find_forgettable("张三,Zeb*", dataset="hospital")
    assert set(found.names) == {"hospital: Zebedee Q", "hospital: 张三"}
    assert len(found.files) == 4
    assert all(path.exists() for path in found.files)
    assert rows("SELECT COUNT(*) FROM case_overview") == [(3,)]
    forget(found)
    assert _left("张三") == _left("Zebedee") == []
    assert rows("SELECT case_name FROM case_overview") == [("other",)]
    for table in ("case_file", "prepared_case", "label_volume"):
        assert rows(f"SELECT COUNT(DISTINCT case_id) FROM {table}") == [(1,)]
    assert rows(_HASHES) == before
    again = _ingest(hospital)
    assert (again.chosen, again.brought_in) == (1, 0)
    assert "2 cases were forgotten (kits forget) and stay out" in again.notes
    assert rows("SELECT case_name FROM case_overview") == [("other",)]


def test_killed_in_the_middle_the_same_call_ends_it(hospital, rows, monkeypatch):
    _ingest(hospital)

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tasks.forget.queries.delete_case", die)
        forget(find_forgettable("Zebedee Q", dataset="hospital"))
    assert rows("SELECT COUNT(*) FROM case_overview") == [(3,)]
    assert _ingest(hospital).brought_in == 0
    forget(find_forgettable("Zebedee Q", dataset="hospital"))
    assert rows("SELECT COUNT(*) FROM case_overview") == [(2,)]
    assert _left("Zebedee") == []


def test_a_model_says_that_it_has_seen_it(begun, rows):
    ((case_id,),) = rows("SELECT id FROM \"case\" WHERE name = 'case_00003'")
    with catalog_session(Settings()) as session:
        session.add(TrainedCase(run_id=1, case_id=case_id, image_sha256="a", label_sha256="b"))
    forget(find_forgettable("3", dataset="phantoms"))
    assert rows("SELECT id, forgotten_cases FROM training_run ORDER BY 1") == [(1, 1), (2, 0), (3, 0)]
    assert rows("SELECT COUNT(*) FROM split_member") == [(7,)]


def test_a_patients_plans_go_and_what_a_person_changed_stays(begun, write_series, phantoms, rows, tmp_path):
    out = tmp_path / "plans"
    for number, (name, patient) in enumerate((("one", "Q-4711"), ("two", "Q-4712"))):
        scan = phantoms / f"case_0000{number}" / "imaging.nii.gz"
        series = write_series(scan, tmp_path / name, t00100020=patient)
        predict(PredictParameters(scans=[str(series)], out=str(out)))
    (out / "one" / "segmentation.nii.gz").write_bytes(b"corrected by hand")
    found = find_forgettable(patient="Q-4711")
    assert len(found.predictions) == 1
    assert found.kept == (f"{out / 'one' / 'segmentation.nii.gz'}: not as kits wrote it",)
    forget(found)
    assert [path.name for path in (out / "one").iterdir()] == ["segmentation.nii.gz"]
    assert (out / "two" / "plan.html").is_file()
    assert rows("SELECT scan FROM prediction") == [("two",)]
    forget(find_forgettable(scan="two"))
    assert not (out / "two").exists()
    with pytest.raises(KitsError, match="Q-4711: expected cases or predictions of it in the catalog, got none"):
        find_forgettable(patient="Q-4711")


def test_killed_after_its_plan_went_a_patients_prediction_is_known_still(begun, write_series, scan, rows, tmp_path):
    series = write_series(scan, tmp_path / "one", t00100020="Q-4711")
    predict(PredictParameters(scans=[str(series)], out=str(tmp_path / "plans")))

    def die(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("tasks.forget.queries.delete_prediction", die)
        forget(find_forgettable(patient="Q-4711"))
    assert not (tmp_path / "plans" / "one").exists()
    forget(find_forgettable(patient="Q-4711"))
    assert rows("SELECT COUNT(*) FROM prediction") == [(0,)]


def test_a_whole_dataset_takes_its_source_with_it(hospital, rows):
    _ingest(hospital)
    forget(find_forgettable("*", dataset="hospital"))
    assert rows("SELECT name, source FROM dataset") == [("hospital", "forgotten")]
    assert _left("张三") == _left(str(hospital)) == []


def test_the_verb_shows_first(hospital, kits, rows):
    _ingest(hospital)
    shown = kits("forget", "Zeb*")
    assert "hospital: Zebedee Q" in shown
    assert "1 cases, 0 predictions, 1 files and folders; --yes removes them for good" in shown
    assert rows("SELECT COUNT(*) FROM case_overview") == [(3,)]
    assert "removed" in kits("forget", "Zeb*", "--yes")
    assert rows("SELECT COUNT(*) FROM case_overview") == [(2,)]
    assert "the source has no case Zeb*" in kits("forget", "Zeb*", status=1)
    kits("forget", status=2)
