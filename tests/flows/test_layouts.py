"""The same patients through every layout: the same voxels, volumes and split in the catalog."""

import json
import shutil
from functools import partial

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom import dcmread
from sqlalchemy import select

from db.engine import catalog_session
from db.models import Split
from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters, SplitParameters
from flows.split import split
from kits_core.errors import KitsError
from kits_core.files import sha256_of
from kits_core.scan.dicom_seg import write_dicom_seg
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan
from tasks.export import export_dataset

pytestmark = pytest.mark.usefixtures("prefect_api", "home")

CASES = [f"case_0000{n}" for n in range(6)]
OTHER_VALUES = np.array([0, 4, 1, 9], np.uint8)
"""Of kidney, tumour and cyst in the layouts whose values are not KiTS's."""


def _nnunet(phantoms, root):
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for case in CASES:
        shutil.copy(phantoms / case / "imaging.nii.gz", root / "imagesTr" / f"{case}_0000.nii.gz")
        _renumbered(phantoms / case / "segmentation.nii.gz", root / "labelsTr" / f"{case}.nii.gz")
    facts = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "left kidney": 4, "Tumour": 1, "cyst": 9},
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(facts))
    return {}


def _msd(phantoms, root):
    _nnunet(phantoms, root)
    for file in (root / "imagesTr").iterdir():
        file.rename(file.with_name(file.name.replace("_0000.nii", ".nii")))
    pairs = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in CASES]
    facts = {"labels": {"0": "background", "4": "kidney", "1": "tumor", "9": "cyst"}, "training": pairs}
    (root / "dataset.json").write_text(json.dumps(facts))
    return {}


def _pairs(phantoms, root):
    """In NRRD, which ITK writes on its own axes."""
    (root / "ct").mkdir(parents=True)
    for case in CASES:
        sitk.WriteImage(sitk.ReadImage(phantoms / case / "imaging.nii.gz"), root / "ct" / f"{case}_ct.nrrd")
        _renumbered(phantoms / case / "segmentation.nii.gz", root / "mask.nii.gz")
        sitk.WriteImage(sitk.ReadImage(root / "mask.nii.gz"), root / "ct" / f"{case}_seg.nrrd")
    labels = {"4": "kidney", "1": "tumor", "9": "cyst"}
    return {"images": "ct/{case}_ct.nrrd", "masks": "ct/{case}_seg.nrrd", "labels": labels}


def _renumbered(source, target):
    mask = nib.load(source)
    nib.save(nib.Nifti1Image(OTHER_VALUES[np.asarray(mask.dataobj, np.uint8)], mask.affine), target)


def _ingest(source, dataset, **options):
    return ingest(IngestParameters(source=str(source), dataset=dataset, **options))


def _arrays(dataset, case):
    folder = Settings().raw / dataset / case
    return [nib.load(folder / f"{name}.nii") for name in ("imaging", "segmentation")]


@pytest.fixture
def official(phantoms, prefect_api, home):
    _ingest(phantoms, "official", cases="0-5")


@pytest.mark.usefixtures("official")
def test_every_layout_gives_the_same_voxels_volumes_and_split(phantoms, rows, tmp_path):
    volumes = 'SELECT c.name, v.label, v.voxels, v.ml FROM label_volume v JOIN "case" c ON c.id = v.case_id '
    of_dataset = volumes + "JOIN dataset d ON d.id = c.dataset_id WHERE d.name = '{}' ORDER BY 1, 2"
    expected = rows(of_dataset.format("official"))
    official = split(SplitParameters(dataset="official"))
    for make in (_nnunet, _msd, _pairs):
        name = make.__name__[1:]
        done = _ingest(tmp_path / name, name, **make(phantoms, tmp_path / name))
        assert (done.chosen, done.brought_in, done.refused) == (6, 6, 0)
        assert rows(f"SELECT layout FROM dataset WHERE name = '{name}'") == [(name,)]
        assert rows(of_dataset.format(name)) == [(*row[:3], pytest.approx(row[3], rel=1e-5)) for row in expected]
        for case in CASES:
            for ours, theirs in zip(_arrays(name, case), _arrays("official", case), strict=True):
                same = nib.as_closest_canonical(ours)
                assert np.array_equal(same.dataobj, nib.as_closest_canonical(theirs).dataobj)
                assert ours.get_data_dtype() == theirs.get_data_dtype()
        assert _members(split(SplitParameters(dataset=name)).split_id) == _members(official.split_id)
        assert _ingest(tmp_path / name, name, **_again(make)).brought_in == 0


def _again(make):
    return (
        {}
        if make is not _pairs
        else {
            "images": "ct/{case}_ct.nrrd",
            "masks": "ct/{case}_seg.nrrd",
            "labels": {"4": "kidney", "1": "tumor", "9": "cyst"},
        }
    )


def _members(split_id):
    with catalog_session(Settings()) as session:
        found = session.scalar(select(Split).where(Split.id == split_id))
        return sorted((member.case.name, member.subset) for member in found.members)


@pytest.mark.usefixtures("official")
def test_a_dataset_is_what_it_was(phantoms, rows, tmp_path):
    """A folder of another hospital that is called the same does not become version 2 of these patients."""
    other = tmp_path / "phantoms"
    shutil.copytree(phantoms / CASES[5], other / CASES[0])
    with pytest.raises(KitsError, match=rf"official: expected its source, {phantoms}, got {other}; .*--replace-source"):
        _ingest(other, "official")
    assert rows("SELECT MAX(version), COUNT(*) FROM case_file") == [(1, 12)]
    moved = tmp_path / "moved"
    shutil.copytree(phantoms, moved)
    done = _ingest(moved, "official", replace_source=True, cases="0-5")
    assert (done.brought_in, done.refused) == (0, 0)
    with pytest.raises(KitsError, match=r"\(1 kidney, 2 tumor\), got another meaning \(1 tumor, 2 kidney\)"):
        _ingest(moved, "official", labels={"1": "tumor", "2": "kidney"})


def test_values_without_a_meaning_cost_their_case_alone(phantoms, rows, tmp_path):
    root = tmp_path / "D"
    _nnunet(phantoms, root)
    (root / "labelsTr" / f"{CASES[0]}.nii.gz").unlink()
    shutil.copy(phantoms / CASES[0] / "segmentation.nii.gz", root / "labelsTr" / f"{CASES[0]}.nii.gz")
    done = _ingest(root, "D", allowed_failures=1)
    assert (done.brought_in, done.refused) == (5, 1)
    ((reason,),) = rows("SELECT error FROM open_problem")
    assert reason.startswith(f"{CASES[0]}: expected labels 0, 1, 4 and 9 in segmentation.nii.gz, got also [2, 3];")


def test_names_of_any_script_are_kept_and_shown(phantoms, rows, tmp_path):
    root = tmp_path / "hospital"
    for folder, file in (("images", "imaging"), ("masks", "segmentation")):
        (root / folder).mkdir(parents=True)
        for case, name in zip(CASES, ("张三", "李四", "Müller, A. 7", "a%2Fb"), strict=False):
            shutil.copy(phantoms / case / f"{file}.nii.gz", root / folder / f"{name}.nii.gz")
    assert _ingest(root, "hospital").brought_in == 4
    names = [name for (name,) in rows("SELECT case_name FROM case_overview ORDER BY 1")]
    assert names == sorted(["张三", "李四", "Müller, A. 7", "a%2Fb"])
    assert (Settings().raw / "hospital" / "张三" / "imaging.nii").is_file()
    assert (Settings().raw / "hospital" / "a%252Fb" / "imaging.nii").is_file()
    again = partial(_ingest, root, "hospital")
    assert again().brought_in == 0
    assert again(cases="张三,M*").chosen == 2


def _contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("official")
@pytest.mark.parametrize("layout", ["nnunet", "msd", "pairs"])
def test_what_is_exported_comes_back_as_it_was(layout, rows, tmp_path):
    """Also the folds, and what lies in the home is not touched by what people do to an exported mask."""
    made = split(SplitParameters(dataset="official", folds=3))
    out = tmp_path / "Dataset220_KiTS2023"
    options = {"split": made.split_id} if layout == "nnunet" else {"split": None}
    done = export_dataset(layout, "official", out, on_case=lambda *_: None, **options)
    assert (done.cases, done.references, done.folds) == (6, 6, 3 if layout == "nnunet" else 0)
    assert _ingest(out, "back").brought_in == 6
    hashes = 'SELECT c.name, f.kind, f.sha256 FROM case_file f JOIN "case" c ON c.id = f.case_id '
    hashes += "JOIN dataset d ON d.id = c.dataset_id WHERE d.name = '{}' ORDER BY 1, 2"
    assert rows(hashes.format("back")) == rows(hashes.format("official"))
    if layout == "nnunet":
        own = split(SplitParameters(dataset="back", own=str(out / "splits_final.json")))
        assert _folds(own.split_id) == _folds(made.split_id)
        again = split(SplitParameters(dataset="back", own=str(out / "splits_final.json")))
        assert again.split_id == own.split_id
    mask = next(path for path in out.rglob("*.nii") if path.parent.name in ("labelsTr", "masks"))
    raw = _contents(Settings().raw / "official")
    mask.write_bytes(b"drawn anew")
    assert _contents(Settings().raw / "official") == raw
    with pytest.raises(KitsError, match="expected an empty folder or none, got other files"):
        export_dataset(layout, "official", out, None, lambda *_: None)


def _folds(split_id):
    with catalog_session(Settings()) as session:
        found = session.scalar(select(Split).where(Split.id == split_id))
        return sorted((member.case.name, member.fold) for member in found.members)


@pytest.mark.usefixtures("official")
def test_an_export_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(KitsError, match="one of msd, nnunet, pairs, got 'kits'"):
        export_dataset("kits", "official", tmp_path / "out", None, lambda *_: None)

    def stop(done, *_):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dataset("pairs", "official", tmp_path / "out", None, stop)
    assert not [*tmp_path.glob("*out*"), *tmp_path.glob(".*out*")]
    (Settings().raw / "official" / CASES[2] / "imaging.nii").unlink()
    with pytest.raises(KitsError, match=rf"{CASES[2]}: expected .*imaging.nii, got no such file; run kits ingest"):
        export_dataset("pairs", "official", tmp_path / "out", None, lambda *_: None)


def _dicom(write_series, phantoms, root):
    """A series a patient, and what was drawn on it: as SEG by turns with RTSTRUCT, in a folder of its own."""
    for number, case in enumerate(CASES):
        uids = {"t0020000d": f"1.2.3.{number}.1", "t0020000e": f"1.2.3.{number}.2", "t00200052": f"1.2.3.{number}.3"}
        folder = write_series(
            phantoms / case / "imaging.nii.gz", root / f"scan{number}", t00100020=case, t00200011="1", **uids
        )
        scan = find_scans([folder]).scans[0]
        volume = read_scan(scan).volume
        mask = nib.load(phantoms / case / "segmentation.nii.gz")
        turned = nib.orientations.ornt_transform(nib.io_orientation(mask.affine), nib.io_orientation(volume.affine))
        labels = np.asarray(mask.as_reoriented(turned).dataobj, np.uint8)
        assert np.allclose(mask.as_reoriented(turned).affine, volume.affine, atol=1e-3)
        write_dicom_seg(root / f"drawn{number}.dcm", labels, volume.affine, scan, algorithm="hand", version="1")
        _by_hand(root / f"drawn{number}.dcm")


@pytest.mark.usefixtures("official")
def test_dicom_with_seg_gives_the_same_voxels_volumes_patients_and_split(write_series, phantoms, rows, tmp_path):
    root = tmp_path / "export"
    root.mkdir()
    _dicom(write_series, phantoms, root)
    done = _ingest(root, "dicom")
    assert (done.chosen, done.brought_in, done.refused) == (6, 6, 0)
    volumes = (
        'SELECT substr(c.name, 1, 10), v.label, v.voxels, v.ml FROM label_volume v JOIN "case" c ON c.id = v.case_id '
    )
    volumes += "JOIN dataset d ON d.id = c.dataset_id WHERE d.name = '{}' ORDER BY 1, 2"
    expected = [(*row[:3], pytest.approx(row[3], rel=1e-4)) for row in rows(volumes.format("official"))]
    assert rows(volumes.format("dicom")) == expected
    for case in CASES:
        for ours, theirs in zip(_arrays("dicom", f"{case} 2026-01-01 1"), _arrays("official", case), strict=True):
            assert np.array_equal(*(nib.as_closest_canonical(image).dataobj for image in (ours, theirs)))
    patients = 'SELECT c.name, r.patient_id FROM clinical_record r JOIN "case" c ON c.id = r.case_id '
    patients += "JOIN dataset d ON d.id = c.dataset_id WHERE d.name = 'dicom' ORDER BY 1"
    assert rows(patients) == [(f"{case} 2026-01-01 1", case) for case in CASES]
    official, own = (split(SplitParameters(dataset=name)) for name in ("official", "dicom"))
    assert [(name[:10], side) for name, side in _members(own.split_id)] == _members(official.split_id)
    assert _ingest(root, "dicom").brought_in == 0


def test_a_seg_that_changes_is_a_new_version_and_one_without_meaning_is_refused(write_series, phantoms, rows, tmp_path):
    root = tmp_path / "export"
    root.mkdir()
    _dicom(write_series, phantoms, root)
    drawn = root / "drawn1.dcm"
    _rename_segments(drawn, "Kidney", "ROI-1")
    done = _ingest(root, "dicom", allowed_failures=1)
    assert (done.brought_in, done.refused) == (5, 1)
    ((reason,),) = rows("SELECT error FROM open_problem")
    assert "expected names of structures with a known meaning, got also 'ROI-1'" in reason
    assert _ingest(root, "dicom", labels={"roi-1": "kidney"}).brought_in == 1
    with pytest.raises(KitsError, match=r"\(roi 1 kidney\), got another meaning \(roi 1 cyst\)"):
        _ingest(root, "dicom", labels={"roi-1": "cyst"})
    _rename_segments(drawn, "ROI-1", "Kidney")
    assert _ingest(root, "dicom").brought_in == 1
    assert rows("SELECT MAX(version), COUNT(*) FROM case_file WHERE superseded_at IS NULL") == [(2, 12)]


def _rename_segments(path, old, new):
    data = dcmread(path)
    for segment in data.SegmentSequence:
        if segment.SegmentLabel == old:
            segment.SegmentLabel = new
    data.save_as(path)


def test_a_mask_on_other_axes_is_turned_to_its_scans(phantoms, rows, tmp_path):
    root = tmp_path / "source"
    shutil.copytree(phantoms / CASES[0], root / CASES[0])
    mask = nib.as_closest_canonical(nib.load(root / CASES[0] / "segmentation.nii.gz"))
    nib.save(mask, root / CASES[0] / "segmentation.nii.gz")
    done = _ingest(root, "turned")
    assert (done.brought_in, done.refused) == (1, 0)
    assert any("its axes, RAS, were turned to the scan's, IPL" in note for note in done.notes)
    image, labels = _arrays("turned", CASES[0])
    expected = nib.load(phantoms / CASES[0] / "segmentation.nii.gz")
    assert np.array_equal(labels.dataobj, expected.dataobj)
    assert np.allclose(labels.affine, image.affine, atol=1e-4)
    assert _ingest(root, "turned").brought_in == 0
    ((path, size, sha256),) = rows("SELECT path, bytes, sha256 FROM case_file WHERE kind = 'segmentation'")
    stored = Settings().absolute(path)
    assert (stored.stat().st_size, sha256_of(stored)) == (size, sha256)
    assert [file.name for file in stored.parent.iterdir()].count("turned-segmentation.nii") == 0


def _by_hand(path):
    """As a person's tool writes it: what kits wrote itself is a prediction, and no reference."""
    data = dcmread(path)
    data.Manufacturer = "Slicer"
    data.save_as(path)
