import os
import shutil

import nibabel as nib
import numpy as np
import pytest
from pydicom.uid import MediaStorageDirectoryStorage, generate_uid

from kits_core.scan.find import find_scans

_AFFINE = np.diag([-0.8, -0.7, 3.0, 1.0])


def _nifti(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(nib.Nifti1Image(np.zeros((9, 9, 9), np.int16), _AFFINE).to_bytes())
    return path


def _only(found):
    assert not found.refused, found.refused
    (scan,) = found.scans
    return scan


def _reason(found):
    assert not found.scans
    (error,) = found.refused
    return str(error)


def test_a_nifti_file_is_named_for_its_stem(tmp_path):
    path = _nifti(tmp_path / "Müller, A.nii.gz")
    scan = _only(find_scans([path]))
    assert (scan.name, scan.kind, scan.path, scan.files, scan.series_uid) == (
        "Müller_A", "nifti", path, (path,), None,
    )  # fmt: skip


def test_an_official_case_is_named_for_its_folder_and_its_labels_are_no_scan(tmp_path):
    for case in ("case_00007", "case_00042"):
        _nifti(tmp_path / case / "imaging.nii.gz")
        _nifti(tmp_path / case / "segmentation.nii.gz")
    assert _only(find_scans([tmp_path / "case_00007" / "imaging.nii.gz"])).name == "case_00007"
    assert _only(find_scans([tmp_path / "case_00042"])).name == "case_00042"
    assert [scan.name for scan in find_scans([tmp_path]).scans] == ["case_00007", "case_00042"]


def test_a_folder_of_nifti_files_leaves_out_what_is_no_scan(tmp_path):
    for name in ("b.nii", "a.nii.gz", "._a.nii.gz"):
        _nifti(tmp_path / name)
    (tmp_path / "notes.txt").write_text("none")
    assert [scan.name for scan in find_scans([tmp_path]).scans] == ["a", "b"]


def test_names_of_any_script_stay_apart(tmp_path):
    paths = [_nifti(tmp_path / f"{name}.nii.gz") for name in ("张三", "李四", "Mu\u0308ller A", "x" * 180, "张" * 70)]
    names = [scan.name for scan in find_scans(paths).scans]
    assert names == ["张三", "李四", "M\u00fcller_A", "x" * 150, "张" * 50]


def test_names_are_unique_whatever_the_case_of_their_letters(tmp_path):
    paths = [_nifti(tmp_path / name) for name in ("a/CT.nii.gz", "b/ct.nii.gz", "c/ct.nii", "d/...nii.gz")[:3]]
    paths += [_nifti(tmp_path / "e" / "ct_2.nii.gz"), paths[0]]
    assert [scan.name for scan in find_scans(paths).scans] == ["CT", "ct_2", "ct_3", "ct_2_2"]


def test_a_dicom_folder_as_hospitals_export_them(tmp_path, dicom, stored):
    files = dicom.save(tmp_path / "p7" / "S1" / "deep", dicom.slices(stored, _AFFINE), "I{:05d}")
    (directory,) = dicom.slices(stored[..., :1], _AFFINE)
    directory.file_meta.MediaStorageSOPClassUID = directory.SOPClassUID = MediaStorageDirectoryStorage
    del directory.SeriesInstanceUID
    dicom.save(tmp_path / "p7", [directory], "DICOMDIR")
    (tmp_path / "p7" / "README.HTM").write_text("<html>")
    (tmp_path / "p7" / "autorun.exe").write_bytes(b"MZ" * 99)
    (tmp_path / "p7" / "odd").write_bytes(b"\x08\x00hello")
    scan = _only(find_scans([tmp_path / "p7"]))
    assert (scan.name, scan.kind, scan.files) == ("p7", "dicom", tuple(files))
    assert scan.series_uid


def test_files_without_a_preamble_are_dicom_too(tmp_path, dicom, stored):
    for path in dicom.series(tmp_path / "old", stored, _AFFINE):
        content = path.read_bytes()
        path.write_bytes(content[132:])
    assert len(_only(find_scans([tmp_path / "old"])).files) == stored.shape[2]


def test_several_ct_series_are_listed_and_one_can_be_chosen(tmp_path, dicom, stored):
    first, second = generate_uid(), generate_uid()
    dicom.series(tmp_path / "p" / "a", stored, _AFFINE, series=first, SeriesDescription="Arterial 1.0")
    dicom.series(tmp_path / "p" / "b", stored[..., :9], _AFFINE, series=second, SeriesDescription="Native 5.0")
    reason = _reason(find_scans([tmp_path / "p"]))
    assert f'{first} "Arterial 1.0" CT, 12 slices' in reason
    assert f'{second} "Native 5.0" CT, 9 slices' in reason
    assert "--series UID" in reason
    assert _only(find_scans([tmp_path / "p"], series=second)).series_uid == second
    assert "choose one of these" in _reason(find_scans([tmp_path / "p"], series="1.2.3"))


def test_localizers_and_other_modalities_are_no_choices_beside_a_ct(tmp_path, dicom, stored):
    ct = generate_uid()
    dicom.series(tmp_path / "p" / "ct", stored, _AFFINE, series=ct)
    dicom.series(tmp_path / "p" / "scout", stored[..., :3], _AFFINE)
    dicom.series(tmp_path / "p" / "topogram", stored[..., :6], _AFFINE, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    dicom.series(tmp_path / "p" / "mr", stored, _AFFINE, Modality="MR")
    assert _only(find_scans([tmp_path / "p"])).series_uid == ct


def test_where_no_series_is_a_ct_all_are_listed(tmp_path, dicom, stored):
    dicom.series(tmp_path / "mr", stored, _AFFINE, Modality="MR")
    assert _only(find_scans([tmp_path / "mr"])).kind == "dicom"  # reading it says that it is no CT
    dicom.series(tmp_path / "pt", stored, _AFFINE, Modality="PT")
    assert "got none among 2 series" in _reason(find_scans([tmp_path]))


def test_a_broken_dicom_file_is_named(tmp_path, dicom, stored):
    path = dicom.series(tmp_path / "p", stored, _AFFINE)[4]
    path.write_bytes(path.read_bytes()[:300])
    assert "slice_004.dcm: expected a DICOM file, got a header" in _reason(find_scans([tmp_path / "p"]))


def test_one_slice_alone_asks_for_its_folder(tmp_path, dicom, stored):
    path = dicom.series(tmp_path / "p", stored, _AFFINE)[0]
    assert "name the folder with all slices" in _reason(find_scans([path]))


@pytest.mark.parametrize(
    ("name", "words"),
    [("missing", "nothing at this path"), ("empty", "an empty folder"), ("other", "files of other kinds only"),
     ("other/a.zip", "a file of another kind")],
)  # fmt: skip
def test_what_is_no_scan_is_refused_and_the_others_go_on(tmp_path, name, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.zip").write_bytes(b"PK")
    good = _nifti(tmp_path / "good.nii.gz")
    assert f"{tmp_path / name}: expected a NIfTI, NRRD or MetaImage file, or a DICOM folder, got {words}" in _reason(
        find_scans([tmp_path / name])
    )
    found = find_scans([tmp_path / name, good])
    assert [scan.name for scan in found.scans] == ["good"]
    assert len(found.refused) == 1


def test_a_segmentation_beside_nifti_files_is_no_scan(tmp_path, dicom, stored):
    _nifti(tmp_path / "good.nii.gz")
    dicom.series(tmp_path, stored[..., :1], _AFFINE, Modality="SEG", NumberOfFrames=1)
    assert _only(find_scans([tmp_path])).name == "good"


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    path = _nifti(tmp_path / "locked")  # not by its name a NIfTI file, so its content is looked at

    def locked(self, *_args, **_kwargs):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr("pathlib.Path.open", locked)
    assert f"Permission denied: '{path}'; make it readable" in _reason(find_scans([path]))


def test_a_name_in_another_encoding_costs_its_own_scan(tmp_path):
    _nifti(tmp_path / "good.nii.gz")
    shutil.copy(tmp_path / "good.nii.gz", tmp_path / os.fsdecode(b"caf\xe9.nii.gz"))
    found = find_scans([tmp_path])
    assert [scan.name for scan in found.scans] == ["good"]
    (reason,) = map(str, found.refused)
    assert reason.encode()
    assert "caf\\udce9.nii.gz" in reason
    assert reason.endswith("got a name that is not in UTF-8; rename it")


def test_nifti_files_beside_a_choice_of_series_go_on(tmp_path, dicom, stored):
    _nifti(tmp_path / "good.nii.gz")
    for name in "ab":
        dicom.series(tmp_path / name, stored, _AFFINE)
    found = find_scans([tmp_path])
    assert [scan.name for scan in found.scans] == ["good"]
    assert "one CT series" in str(found.refused[0])


def test_files_of_itk_are_scans_and_segmentations_of_slicer_are_none(tmp_path):
    for name in ("b.nrrd", "a.mha", "a.seg.nrrd", "notes.txt"):
        (tmp_path / name).write_bytes(b"NRRD0004\n")
    found = find_scans([tmp_path])
    assert [(scan.name, scan.kind, scan.files) for scan in found.scans] == [
        ("a", "itk", (tmp_path / "a.mha",)),
        ("b", "itk", (tmp_path / "b.nrrd",)),
    ]
    assert "got a segmentation; name the scan that it was drawn on" in _reason(find_scans([tmp_path / "a.seg.nrrd"]))


def test_images_of_nnunet_have_the_names_of_their_cases(tmp_path):
    for name in ("renal_001_0000.nii.gz", "renal_002_0000.nii.gz"):
        _nifti(tmp_path / "imagesTs" / name)
    assert [scan.name for scan in find_scans([tmp_path / "imagesTs"]).scans] == ["renal_001", "renal_002"]
    _nifti(tmp_path / "imagesTs" / "other.nii.gz")  # a folder of somebody else's, then
    assert [scan.name for scan in find_scans([tmp_path / "imagesTs"]).scans] == [
        "other",
        "renal_001_0000",
        "renal_002_0000",
    ]
    assert "got no scan in it, but the folders imagesTs/; name a folder" in _reason(find_scans([tmp_path]))
