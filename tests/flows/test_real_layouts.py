"""Real KiTS23 masks, on small grids, through every layout: the same voxels, volumes, split and training run."""

import json

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom import dcmread
from pydicom.sr.codedict import codes
from pydicom.uid import UID
from rtstruct_writer import rtstruct
from skimage.measure import find_contours
from sqlalchemy import select

from db.engine import catalog_session
from db.models import Dataset, SplitMember
from db.queries.ingest import cases_of
from db.queries.prepare import ensure_recipe, prepared_of
from db.queries.training import data_hash
from db.settings import Settings
from flows.ingest import ingest
from flows.parameters import IngestParameters, PrepareParameters, SplitParameters
from flows.prepare import prepare
from flows.split import split
from kits_core.phantom.dataset import paint_masks
from kits_core.recipe import Recipe
from tasks.export import export_dataset

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_api", "home")]

RECIPE = Recipe(shape=32)
CASES = 10
NAMES = {"Kidney": 1, "Tumour": 2, "Cyst": 3}
KINDS = {"Kidney": codes.SCT.Kidney, "Tumour": codes.SCT.Neoplasm, "Cyst": codes.SCT.Cyst}


@pytest.fixture(scope="module")
def painted(real_masks, tmp_path_factory):
    """Ten real masks, every fourth voxel in the plane and at most 40 slices, and images painted on them."""
    small, root = tmp_path_factory.mktemp("small"), tmp_path_factory.mktemp("painted")
    files = sorted(real_masks.glob("case_*/segmentation.nii.gz"), key=lambda path: path.stat().st_size)[:CASES]
    for file in files:
        mask = nib.load(file)
        step = (max(1, -(-mask.shape[0] // 40)), 4, 4)
        labels = np.asarray(mask.dataobj, np.uint8)[:: step[0], :: step[1], :: step[2]]
        (small / file.parent.name).mkdir()
        affine = mask.affine @ np.diag([*step, 1])
        nib.save(nib.Nifti1Image(labels, affine), small / file.parent.name / "segmentation.nii.gz")
    paint_masks(small, root, sorted(file.parent.name for file in files), seed=1)
    return root


@pytest.fixture
def official(painted, prefect_api, home):
    ingest(IngestParameters(source=str(painted), dataset="official"))
    return sorted(folder.name for folder in painted.glob("case_*"))


def _axial(file, target, *, feet_first):
    """A NIfTI on a CT's axes: columns to the left, rows to the back, slices to the head, or to the feet."""
    image = nib.load(file)
    axes = nib.orientations.axcodes2ornt("LPI" if feet_first else "LPS")
    turned = image.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(image.affine), axes))
    nib.save(nib.Nifti1Image(np.asarray(turned.dataobj).astype(np.int16), turned.affine), target)
    return np.asarray(turned.dataobj).astype(np.int16)


def _series(painted, root, write_series, number, case):
    """The series of a case, and its labels on the slices as stored `(column, row, slice)`."""
    root.mkdir(exist_ok=True)
    odd = bool(number % 2)
    _axial(painted / case / "imaging.nii.gz", root / "axial.nii.gz", feet_first=odd)
    uids = {"t0020000d": f"1.2.3.{number}.1", "t0020000e": f"1.2.3.{number}.2", "t00200052": f"1.2.3.{number}.3"}
    instances = {
        "t00100010": "Test^A",
        "t00100030": "",
        "t00100040": "O",
        "t00080050": "",
        "t00200010": "1",
        "t00080090": "",
    }
    folder = write_series(
        root / "axial.nii.gz", root / f"ct{number}", t00100020=case, t00200011="1", **uids, **instances
    )
    (root / "axial.nii.gz").unlink()
    labels = _axial(painted / case / "segmentation.nii.gz", root / "labels.nii.gz", feet_first=odd)
    (root / "labels.nii.gz").unlink()
    slices = [dcmread(file) for file in sorted(folder.iterdir())]
    first, second = (np.array(one.ImagePositionPatient, float) for one in slices[:2])
    for k, one in enumerate(slices):  # every image of the hospital has a UID of its own
        one.SliceThickness = f"{np.linalg.norm(second - first):.6g}"
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}.4.{k + 1}")
        one.save_as(folder / f"{k:04d}.dcm")
    return slices, labels


def _write_seg(path, slices, labels):
    there = [name for name, value in NAMES.items() if (labels == value).any()]
    described = [
        hd.seg.SegmentDescription(number, name, codes.SCT.AnatomicalStructure, KINDS[name], "MANUAL")
        for number, name in enumerate(there, 1)
    ]
    pixels = np.stack([(labels == NAMES[name]).transpose(2, 1, 0) for name in there], axis=-1).astype(np.uint8)
    seg = hd.seg.Segmentation(
        source_images=slices, pixel_array=pixels, segmentation_type="BINARY", segment_descriptions=described,
        series_instance_uid=hd.UID(), series_number=9, sop_instance_uid=hd.UID(), instance_number=1,
        manufacturer="by hand", manufacturer_model_name="x", software_versions="1", device_serial_number="1",
    )  # fmt: skip
    seg.save_as(path)


def _write_rtstruct(path, slices, labels):
    def place(points, k):
        one = slices[k]
        row, column = np.reshape([float(v) for v in one.ImageOrientationPatient], (2, 3))
        down, across = (float(mm) for mm in one.PixelSpacing)
        return (
            [float(v) for v in one.ImagePositionPatient] + points[:, :1] * across * row + points[:, 1:] * down * column
        )

    drawn = {
        name: [
            ("CLOSED_PLANAR", place(points[:-1] - 1, k))
            for k in range(labels.shape[2])
            for points in find_contours(np.pad(labels[:, :, k] == value, 1).astype(float), 0.5)
        ]
        for name, value in NAMES.items()
        if (labels == value).any()
    }
    rtstruct(slices[0], drawn).save_as(path, enforce_file_format=True)


def _volumes(rows, dataset):
    volumes = (
        'SELECT substr(c.name, 1, 10), v.label, v.voxels, v.ml FROM label_volume v JOIN "case" c ON c.id = v.case_id '
    )
    volumes += f"JOIN dataset d ON d.id = c.dataset_id WHERE d.name = '{dataset}' ORDER BY 1, 2"
    return [(case, label, voxels, pytest.approx(ml, rel=1e-4)) for case, label, voxels, ml in rows(volumes)]


def _voxels(dataset, case):
    folder = Settings().raw / dataset / case
    return [
        np.asarray(nib.as_closest_canonical(nib.load(folder / f"{name}.nii")).dataobj)
        for name in ("imaging", "segmentation")
    ]


def _sides(dataset):
    made = split(SplitParameters(dataset=dataset))
    with catalog_session(Settings()) as session:
        members = session.scalars(select(SplitMember).where(SplitMember.split_id == made.split_id))
        return sorted((member.case.name[:10], member.subset) for member in members)


def _prepared(dataset):
    """The hash of a training's data, and the voxels that it would read, by case."""
    prepare(PrepareParameters(dataset=dataset, recipe=RECIPE, workers=2))
    with catalog_session(Settings()) as session:
        row = session.scalar(select(Dataset).where(Dataset.name == dataset))
        recipe = ensure_recipe(session, RECIPE.hash, RECIPE.to_stored(), None)
        prepared = prepared_of(session, recipe.id, [case.id for case in cases_of(session, row.id)])
        voxels = {
            one.case.name[:10]: [
                np.asarray(nib.load(Settings().absolute(path)).dataobj) for path in (one.image_path, one.label_path)
            ]
            for one in prepared.values()
        }
        return data_hash(prepared.values()), voxels


def _pairs_in_nrrd(painted, cases, root):
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for case in cases:
        for folder, name in (("images", "imaging"), ("masks", "segmentation")):
            sitk.WriteImage(sitk.ReadImage(painted / case / f"{name}.nii.gz"), root / folder / f"{case}.nrrd")


def test_real_masks_are_the_same_in_every_layout(painted, official, write_series, rows, tmp_path):
    for layout in ("nnunet", "msd", "pairs"):
        export_dataset(layout, "official", tmp_path / layout, None, lambda *_: None)
    _pairs_in_nrrd(painted, official, tmp_path / "nrrd")
    for number, case in enumerate(official):
        slices, labels = _series(painted, tmp_path / "dicom", write_series, number, case)
        _write_seg(tmp_path / "dicom" / f"seg{number}.dcm", slices, labels)
    expected, sides, (data, read) = _volumes(rows, "official"), _sides("official"), _prepared("official")
    assert {(side, sum(other == side for _, other in sides)) for _, side in sides} == {("train", 8), ("validation", 2)}
    for dataset in ("nnunet", "msd", "pairs", "nrrd", "dicom"):
        done = ingest(IngestParameters(source=str(tmp_path / dataset), dataset=dataset))
        assert (done.chosen, done.brought_in, done.refused) == (CASES, CASES, 0), dataset
        assert [row[:3] for row in _volumes(rows, dataset)] == [row[:3] for row in expected]
        assert _volumes(rows, dataset) == [(*row[:3], row[3].expected) for row in expected]
        names = {name[:10]: name for (name,) in rows(
            f"SELECT case_name FROM case_overview WHERE dataset = '{dataset}'")}  # fmt: skip
        for case in official:
            for ours, theirs in zip(_voxels(dataset, names[case]), _voxels("official", case), strict=True):
                assert np.array_equal(ours, theirs)
        assert _sides(dataset) == sides
        hash_here, read_here = _prepared(dataset)
        for case in official:
            assert all(np.array_equal(*both) for both in zip(read_here[case], read[case], strict=True)), (dataset, case)
        if dataset in ("nnunet", "msd", "pairs", "nrrd"):
            assert hash_here == data  # with the same settings the same training run
    layouts = dict(rows("SELECT name, layout FROM dataset"))
    assert layouts == {"official": "kits", "nrrd": "pairs"} | {
        name: name for name in ("nnunet", "msd", "pairs", "dicom")
    }


def test_an_rtstruct_holds_the_mask_that_it_was_drawn_from(painted, official, write_series, rows, tmp_path):
    root = tmp_path / "rtstruct"
    for number, case in enumerate(official):
        slices, labels = _series(painted, root, write_series, number, case)
        _write_rtstruct(root / f"drawn{number}.dcm", slices, labels)
    done = ingest(IngestParameters(source=str(root), dataset="drawn"))
    assert (done.brought_in, done.refused) == (CASES, 0)
    found = {}
    for (name,) in rows("SELECT case_name FROM case_overview WHERE dataset = 'drawn'"):
        ours, theirs = _voxels("drawn", name)[1], _voxels("official", name[:10])[1]
        for label in NAMES.values():
            if (theirs == label).any():
                both = np.count_nonzero((ours == label) & (theirs == label))
                found[name, label] = 2 * both / (np.count_nonzero(ours == label) + np.count_nonzero(theirs == label))
    assert len(found) >= 2 * CASES
    assert min(found.values()) >= 0.98, json.dumps({str(key): value for key, value in found.items()})
