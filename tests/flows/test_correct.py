"""A mask that a person corrected comes back as the reference of a case of the catalog."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from db.settings import Settings
from flows.evaluate import evaluate
from flows.ingest import ingest
from flows.parameters import (
    EvaluateParameters,
    IngestParameters,
    PrepareParameters,
)
from flows.prepare import prepare
from kits_core.errors import CaseError, KitsError
from kits_core.files import sha256_of
from kits_core.recipe import Recipe
from kits_core.scan.dicom_seg import write_dicom_seg
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan
from kits_core.source.location import CaseLocations, Location
from tasks.catalog import reading
from tasks.correct import find_case, undo_correction
from tasks.corrected import corrections_of
from tasks.leftovers import find_leftovers
from tasks.listing import _files
from tasks.log import scrub

_FILES = ("imaging", "segmentation")
pytestmark = pytest.mark.usefixtures("prefect_api", "home")


@pytest.fixture(autouse=True)
def _scrub_nothing_afterwards():
    yield
    scrub.forget()


@pytest.fixture
def source(phantoms, tmp_path):
    """Two cases in a folder of the test's own."""
    root = tmp_path / "source"
    for case in ("case_00000", "case_00001"):
        shutil.copytree(phantoms / case, root / case)
    return root


def _ingest(source):
    return ingest(IngestParameters(source=str(source), dataset="phantoms"))


def _reads(mask):
    """A mask of SimpleITK as nibabel reads it."""
    return nib.load(mask).get_fdata()


def test_a_correction_is_a_version_that_later_ingestions_keep(source, hand, tmp_path, kits):
    _ingest(source)
    drawn = hand.drawn(source / "case_00000" / "segmentation.nii.gz", tmp_path / "drawn.nii.gz")
    shutil.move(source, tmp_path / "away")  # nothing is asked of a source
    done = hand.correct("0", drawn)
    assert (done.dataset, done.case, done.changed) == ("phantoms", "case_00000", True)
    (first, was_newest, _), (second, newest, notes) = hand.versions()
    assert (first, was_newest, second, newest) == (1, False, 2, True)
    assert notes[0].startswith("reference corrected by Dr X on 20")
    assert f"from {drawn} (SHA-256 {sha256_of(drawn)[:12]}...)" in notes[0]
    assert np.array_equal(hand.labels("phantoms", "case_00000"), _reads(drawn))
    note = json.loads((Settings().corrections / "phantoms" / "case_00000.json").read_text(encoding="utf-8"))
    assert (note["by"], note["file_sha256"], note["read_as"]["2"]) == ("Dr X", sha256_of(drawn), "tumor")

    shutil.move(tmp_path / "away", source)
    again = _ingest(source)
    assert (again.brought_in, again.refused, again.vanished) == (0, 0, 0)
    assert "1 cases have corrected references" in again.notes
    assert len(hand.versions()) == 2
    assert find_leftovers(remove=True) == []
    shutil.copy(source / "case_00001" / "segmentation.nii.gz", source / "case_00000" / "segmentation.nii.gz")
    assert _ingest(source).brought_in == 0
    assert np.array_equal(hand.labels("phantoms", "case_00000"), _reads(drawn))
    assert "case_00000 has just this reference already: nothing to do" in kits("correct", "case_00000", str(drawn))
    assert len(hand.versions()) == 2


def test_what_rested_on_the_old_reference_is_stale_and_is_scored_again(begun, phantoms, hand, tmp_path):
    ((case,),) = hand.rows(
        "SELECT MIN(c.name) FROM split_member m JOIN \"case\" c ON c.id = m.case_id WHERE m.subset = 'validation'"
    )
    prepare(PrepareParameters(recipe=Recipe(shape=32)))
    first = evaluate(EvaluateParameters(model="1", workers=1))
    tumor = f"SELECT dice FROM case_metric_wide WHERE case_name = '{case}' AND region = 'tumor'"
    before = hand.rows(tumor)
    drawn = hand.drawn(phantoms / case / "segmentation.nii.gz", tmp_path / "drawn.nii.gz", grow=6)
    hand.correct(case, drawn)
    assert hand.rows("SELECT DISTINCT what, case_name, changed FROM stale ORDER BY 1") == [
        ("evaluation", case, "segmentation"),
        ("prepared_case", case, "segmentation"),
    ]
    again = evaluate(EvaluateParameters(model="1", workers=1))
    assert again.evaluation_id == first.evaluation_id
    assert hand.rows("SELECT what FROM stale") == [("prepared_case",)]
    assert hand.rows(tumor) != before
    ((reference,),) = hand.rows("SELECT reference_sha256 FROM lineage WHERE case_name = '" + case + "'")
    assert sha256_of(Settings().raw / "phantoms" / case / "version_2" / "segmentation.nii") == reference


def test_of_which_prediction_it_is_stands_in_the_note_where_the_file_says_so(begun, hand, tmp_path):
    evaluate(EvaluateParameters(model="1", workers=1))
    predicted = min((Settings().predictions / "evaluation_00001").glob("*.nii.gz"))
    image = nib.load(predicted)
    labels = np.asarray(image.dataobj).copy()
    labels[:2, :2, :2] = 2
    nib.save(nib.Nifti1Image(labels, None, image.header), tmp_path / "drawn.nii.gz")
    hand.correct(predicted.name.removesuffix(".nii.gz"), tmp_path / "drawn.nii.gz")
    (_, _, notes) = hand.versions(case=predicted.name.removesuffix(".nii.gz"))[1]
    assert notes[0].endswith("after evaluation 1 of model 1")


def test_undone_the_next_ingestion_brings_the_sources_own_back(source, hand, tmp_path, kits):
    _ingest(source)
    own = hand.labels("phantoms", "case_00000")
    reference = source / "case_00000" / "segmentation.nii.gz"
    drawn, other = (hand.drawn(reference, tmp_path / f"{n}.nii.gz", grow=n) for n in (1, 3))
    hand.correct("case_00000", drawn)
    hand.correct("case_00000", other)
    folder = Settings().corrections / "phantoms"
    assert np.array_equal(_reads(folder / "kept" / "case_00000" / "1.nii.gz"), _reads(drawn))
    printed = kits("correct", "case_00000", "--undo")
    assert "the next kits ingest brings the reference of its source back" in printed
    assert np.array_equal(_reads(folder / "kept" / "case_00000" / "2.nii.gz"), _reads(other))
    assert [path.name for path in folder.iterdir()] == ["kept"]
    assert "expected a corrected reference, got none" in kits("correct", "case_00000", "--undo", status=1)
    with reading() as session:
        case = find_case(session, None, "case_00000")
        places = [Location(str(reference.with_name(f"{n}.nii.gz"))) for n in _FILES]
        image, segmentation = _files(
            CaseLocations("case_00000", places[0], places[1]), case, corrections_of("phantoms", ["case_00000"])
        )
    assert image.known is not None
    assert segmentation.known is None  # of the corrected mask, which the source never had
    again = _ingest(source)
    assert (again.brought_in, again.notes) == (1, ())
    assert np.array_equal(hand.labels("phantoms", "case_00000"), own)
    assert [version for version, *_ in hand.versions()] == [1, 2, 3, 4]
    hand.correct("case_00000", other)
    undo_correction("case_00000", None)
    assert hand.correct("case_00000", other).changed is False  # the catalog still has it; the overlay is back
    assert _ingest(source).brought_in == 0


def test_what_cannot_be_a_reference_is_refused_with_the_reason(source, hand, tmp_path):
    _ingest(source)
    reference = source / "case_00000" / "segmentation.nii.gz"
    image = nib.load(reference)
    shifted, empty = tmp_path / "shifted.nii.gz", tmp_path / "empty.nii.gz"
    moved = image.affine.copy()
    moved[0, 3] += 2
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), moved), shifted)
    nib.save(nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine), empty)
    with pytest.raises(CaseError, match=r"expected shifted.nii.gz on the scan's voxels.*resample it"):
        hand.correct("case_00000", shifted)
    with pytest.raises(CaseError, match=r"expected a kidney, tumour or cyst of empty.nii.gz in the scan, got none"):
        hand.correct("case_00000", empty)
    with pytest.raises(CaseError, match="nowhere: expected a case of the catalog, or a folder with the plan of a scan"):
        hand.correct("nowhere", reference)
    with pytest.raises(KitsError, match="expected the folder of a plan with --out, got a case"):
        hand.correct("case_00000", reference, out=str(tmp_path))
    assert hand.correct("case_00000", reference).changed is False
    assert not Settings().corrections.exists()
    assert len(hand.versions()) == 1
    assert hand.rows("SELECT * FROM open_problem") == []


def test_values_that_mean_another_thing_in_the_dataset_are_asked_for(phantoms, hand, tmp_path):
    for name, file in (("images", "imaging"), ("masks", "segmentation")):
        (tmp_path / "pairs" / name).mkdir(parents=True)
        shutil.copy(phantoms / "case_00000" / f"{file}.nii.gz", tmp_path / "pairs" / name / "one.nii.gz")
    labels = {"1": "tumor", "2": "kidney", "3": "cyst"}
    ingest(IngestParameters(source=str(tmp_path / "pairs"), dataset="pairs", labels=labels))
    drawn = hand.drawn(phantoms / "case_00000" / "segmentation.nii.gz", tmp_path / "drawn.nii.gz")
    with pytest.raises(CaseError, match=r"1 is kidney in KiTS, tumor in the dataset.*--label \"1=kidney\""):
        hand.correct("one", drawn)
    hand.correct("one", drawn, labels=labels)
    values = np.array([0, 2, 1, 3])[_reads(drawn).astype(int)]
    assert np.array_equal(hand.labels("pairs", "one"), values)
    assert ingest(IngestParameters(source=str(tmp_path / "pairs"), dataset="pairs", labels=labels)).brought_in == 0


def test_a_scan_that_changes_under_a_correction_is_told(source, hand, tmp_path):
    _ingest(source)
    hand.correct("case_00000", hand.drawn(source / "case_00000" / "segmentation.nii.gz", tmp_path / "drawn.nii.gz"))
    path = source / "case_00000" / "imaging.nii.gz"
    image = nib.load(path)
    voxels = np.asarray(image.dataobj).copy()
    voxels[0, 0, 0] -= 1
    nib.save(nib.Nifti1Image(voxels, image.affine, image.header), path)
    assert _ingest(source).brought_in == 1
    told = "case_00000: its reference was corrected on an earlier version of its scan; look at it again"
    assert told in _ingest(source).notes
    nib.save(nib.Nifti1Image(voxels[:-1], image.affine, image.header), path)
    _ingest_all_the_same(source)
    ((error,),) = hand.rows("SELECT error FROM open_problem")
    assert error.endswith("it was corrected on another scan; kits correct --undo takes that away")
    undo_correction("case_00000", None)
    mask = nib.load(path.with_name("segmentation.nii.gz"))
    labels = np.asarray(mask.dataobj)[:-1]
    nib.save(nib.Nifti1Image(labels, mask.affine, mask.header), path.with_name("segmentation.nii.gz"))
    assert _ingest(source).refused == 0
    assert np.array_equal(hand.labels("phantoms", "case_00000"), labels)


def _ingest_all_the_same(source):
    ingest(IngestParameters(source=str(source), dataset="phantoms", allowed_failures=1.0))


@pytest.mark.parametrize("at", ["kits_core.corrections.write_text_atomically", "tasks.ingest._put_in_place"])
def test_killed_in_the_middle_the_same_command_ends_it(source, hand, tmp_path, monkeypatch, at):
    _ingest(source)
    drawn = hand.drawn(source / "case_00000" / "segmentation.nii.gz", tmp_path / "drawn.nii.gz")

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(at, die)
        hand.correct("case_00000", drawn)
    assert len(hand.versions()) == 1
    assert hand.correct("case_00000", drawn).changed is True
    assert np.array_equal(hand.labels("phantoms", "case_00000"), _reads(drawn))
    folder = Settings().corrections / "phantoms"
    assert {path.name for path in folder.iterdir()} == {"case_00000.nii.gz", "case_00000.json"}


def test_a_seg_is_read_on_the_series_that_a_case_came_from(phantoms, write_series, scan, hand, tmp_path):
    folder = tmp_path / "hospital" / "ct"
    folder.parent.mkdir()
    series = find_scans([write_series(scan, folder)]).scans[0]
    volume = read_scan(series).volume
    labels = np.zeros(volume.shape, np.uint8)
    labels[20:40, 20:40, 5:15], labels[25:30, 25:30, 8:12] = 1, 2
    seg = tmp_path / "drawn.dcm"
    write_dicom_seg(seg, labels, volume.affine, series, algorithm="hand", version="1")
    assert dcmread(seg).Modality == "SEG"
    ingest(IngestParameters(source=str(folder.parent), dataset="hospital"))
    ((case,),) = hand.rows('SELECT name FROM "case"')
    hand.correct(case, seg)
    assert np.array_equal(hand.labels("hospital", case), labels)
    assert ingest(IngestParameters(source=str(folder.parent), dataset="hospital")).brought_in == 0

    (folder / "0003.dcm").rename(tmp_path / "gone.dcm")
    with pytest.raises(CaseError, match="expected the DICOM series that it came from"):
        hand.correct(case, seg)
    ingest(IngestParameters(source=str(phantoms), dataset="phantoms", cases="0"))
    with pytest.raises(CaseError, match=r"case_00000: expected the DICOM series.*got a NIfTI file"):
        hand.correct("case_00000", seg)


def test_nobody_is_named_where_the_case_has_a_pseudonym(source, kits, hand, tmp_path):
    named = source.rename(tmp_path / "Zimmermannova")
    kits("ingest", "--source", str(named), "--deidentify")
    ((pseudonym,),) = hand.rows('SELECT MIN(name) FROM "case"')
    real = json.loads(kits("reidentify", pseudonym, "--json"))["case"]
    drawn = hand.drawn(named / real / "segmentation.nii.gz", tmp_path / "Quirina_drawn.nii.gz")
    printed = kits("correct", pseudonym, str(drawn), "--by", "Dr X")
    assert f"{pseudonym} has " in printed
    assert len(hand.versions(hand.rows("SELECT name FROM dataset")[0][0], pseudonym)) == 2
    for path in Settings().home.rglob("*"):
        assert "Quirina" not in str(path)
        assert not path.is_file() or b"Quirina" not in path.read_bytes(), path
    assert "0 brought in now" in kits("ingest", "--source", str(named), "--deidentify")
