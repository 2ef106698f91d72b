import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread, dcmwrite
from pydicom.uid import generate_uid
from scipy.spatial.transform import Rotation

from kits_core.errors import CaseError
from kits_core.scan.find import find_scans
from kits_core.scan.read import read_scan

_AFFINE = np.array([[-0.8, 0, 0, 90], [0, -0.7, 0, 60], [0, 0, 3.0, -500], [0, 0, 0, 1.0]])  # LPS axes, as CTs are


def _scan(path):
    found = find_scans([path])
    assert not found.refused, found.refused
    return found.scans[0]


def _read(path):
    return read_scan(_scan(path))


def _refused(path, words):
    with pytest.raises(CaseError, match=words) as caught:
        read_scan(_scan(path))
    assert str(caught.value).startswith(_scan(path).name)


def _nifti(path, data, affine=_AFFINE, **fields):
    image = nib.Nifti1Image(data, affine, dtype=data.dtype)
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def _canonical(volume):
    image = nib.as_closest_canonical(nib.Nifti1Image(volume.data, volume.affine))
    return np.asarray(image.dataobj), image.affine


def _rotated(affine, degrees):
    turned = affine.copy()
    turned[:3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() @ affine[:3]
    return turned


@pytest.mark.parametrize("ending", ["nrrd", "mha"])
def test_a_file_of_itk_is_the_same_scan(tmp_path, ending):
    values = np.random.default_rng(5).integers(-1000, 400, (20, 18, 12)).astype(np.int16)
    path = _nifti(tmp_path / "scan.nii.gz", values, _rotated(_AFFINE, (4, 0, 2)))
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(tmp_path / f"scan.{ending}"))
    volume, other = _read(path).volume, _read(tmp_path / f"scan.{ending}").volume
    assert np.array_equal(volume.data, other.data)
    assert other.data.dtype == np.int16
    assert np.allclose(volume.affine, other.affine, atol=1e-4)


def test_a_file_of_itk_that_is_cut_off_is_refused(tmp_path):
    path = _nifti(tmp_path / "scan.nii.gz", np.zeros((20, 18, 12), np.int16))
    whole = tmp_path / "whole.nrrd"
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(path)), str(whole))
    (tmp_path / "cut.nrrd").write_bytes(whole.read_bytes()[:2000])
    _refused(tmp_path / "cut.nrrd", "expected an image that ITK reads in cut.nrrd")


# === NIfTI and DICOM of one scan ===


@settings(max_examples=12, deadline=None)
@given(
    degrees=st.tuples(*[st.floats(-20, 20)] * 3),
    spacing=st.tuples(st.floats(0.4, 1.5), st.floats(0.4, 1.5), st.floats(0.5, 5)),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 2),
)
def test_dicom_and_nifti_of_one_scan_are_the_same(tmp_path_factory, dicom, degrees, spacing, signs):
    stored, folder = dicom.body(), tmp_path_factory.mktemp("s")
    affine = np.diag([*spacing, 1.0]) @ np.diag([*signs, signs[0] * signs[1], 1])
    affine[:3, 3] = (10.123456, -200.5, 1234.25)
    affine = _rotated(affine, degrees)
    slices = list(dicom.slices(stored, affine))
    np.random.default_rng(0).shuffle(slices)  # the order of files says nothing
    dicom.save(folder / "d", slices)
    _nifti(folder / "n.nii.gz", (stored - 1024).astype(np.int16), affine)
    from_dicom, from_nifti = _read(folder / "d").volume, _read(folder / "n.nii.gz").volume
    assert from_dicom.data.dtype == from_nifti.data.dtype == np.int16
    assert np.array_equal(from_dicom.data, stored - 1024)
    for one, other, tolerance in zip(_canonical(from_dicom), _canonical(from_nifti), (0, 1e-4), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def test_simpleitks_own_series_reader_agrees(tmp_path, dicom, stored):
    affine = _rotated(_AFFINE, (10, -7, 4))
    files = dicom.series(tmp_path / "d", stored, affine)
    image = SimpleITK.ReadImage([str(path) for path in files])
    volume = _read(tmp_path / "d").volume
    assert np.array_equal(SimpleITK.GetArrayFromImage(image).T, volume.data)
    for index in np.ndindex(2, 2, 2):
        corner = [int(n * (size - 1)) for n, size in zip(index, volume.shape, strict=True)]
        lps = image.TransformIndexToPhysicalPoint(corner)
        np.testing.assert_allclose((volume.affine @ [*corner, 1])[:3], np.array(lps) * [-1, -1, 1], atol=1e-4)


def test_slices_that_run_against_their_normal_come_back_along_it(tmp_path, dicom, stored):
    affine = _AFFINE @ np.diag([1, 1, -1, 1.0])
    dicom.series(tmp_path / "d", stored, affine)
    volume = _read(tmp_path / "d").volume
    assert np.array_equal(volume.data, stored[:, :, ::-1] - 1024)
    np.testing.assert_allclose(volume.affine[2], [0, 0, 3, -500 - 33], atol=1e-9)


def test_a_real_scan_written_as_dicom_comes_back(tmp_path, dicom, real_scan):
    nifti = _read(real_scan).volume
    oriented = nib.as_closest_canonical(nib.Nifti1Image(nifti.data, nifti.affine))
    flip = np.diag([-1, -1, 1, 1.0])
    flip[:2, 3] = np.array(oriented.shape[:2]) - 1
    data, affine = np.asarray(oriented.dataobj)[::-1, ::-1], oriented.affine @ flip
    offset = 1024 - min(0, int(data.min()) + 1024)
    dicom.series(tmp_path / "d", data.astype(np.int32) + offset, affine, intercept=-offset)
    found = _read(tmp_path / "d").volume
    for one, other in zip(_canonical(found), _canonical(nifti), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)


# === What is handled, with a note ===


def test_a_nifti_that_needs_nothing_has_no_notes(tmp_path, stored):
    assert _read(_nifti(tmp_path / "n.nii", (stored - 1024).astype(np.int16))).notes == ()


def test_a_fourth_axis_of_length_1_and_scaling(tmp_path, stored):
    path = _nifti(tmp_path / "n.nii.gz", stored.astype(np.int16)[..., None], scl_slope=1, scl_inter=0)
    plain = bytearray(gzip.decompress(path.read_bytes()))
    plain[112:120] = np.array([1, -1024], "<f4").tobytes()  # scl_slope and scl_inter
    path.write_bytes(gzip.compress(bytes(plain)))
    scan = _read(path)
    assert np.array_equal(scan.volume.data, stored - 1024)
    assert scan.notes == ("a fourth axis of length 1 was left out", "rescale slope 1, intercept -1024 applied")


def test_fractions_stay_as_float32(tmp_path, stored):
    scan = _read(_nifti(tmp_path / "n.nii", stored - np.float64(1023.5)))
    assert scan.volume.data.dtype == np.float32
    assert np.array_equal(scan.volume.data, stored - 1023.5)
    assert "float32" in scan.notes[0]


def test_a_header_without_orientation_is_said(tmp_path, stored):
    image = nib.Nifti1Image((stored - 1024).astype(np.int16), None)
    nib.save(image, tmp_path / "n.nii")
    assert "left and right may be swapped" in _read(tmp_path / "n.nii").notes[0]


def test_rescale_slope_and_intercept(tmp_path, dicom, stored):
    dicom.series(tmp_path / "d", stored, _AFFINE, slope=2, intercept=-2048)
    scan = _read(tmp_path / "d")
    assert scan.volume.data.dtype == np.int16
    assert np.array_equal(scan.volume.data, stored * 2 - 2048)
    assert scan.notes == ("rescale slope 2, intercept -2048 applied",)


def test_a_slope_of_each_slice_is_applied_to_it(tmp_path, dicom, stored):
    slices = list(dicom.slices(stored, _AFFINE))
    slices[5].RescaleSlope = "1.25"
    dicom.save(tmp_path / "d", slices)
    scan = _read(tmp_path / "d")
    expected = stored - 1024.0
    expected[:, :, 5] = stored[:, :, 5] * 1.25 - 1024
    assert np.array_equal(scan.volume.data, expected)
    assert scan.volume.data.dtype == np.float32
    assert "differ between slices" in scan.notes[0]


def test_a_wrong_order_and_copies_are_noted(tmp_path, dicom, stored):
    slices = list(dicom.slices(stored, _AFFINE))
    slices[3].InstanceNumber, slices[8].InstanceNumber = 9, 4
    dicom.save(tmp_path / "d", slices)
    dicom.save(tmp_path / "d" / "again", slices[4:6])
    scan = _read(tmp_path / "d")
    assert np.array_equal(scan.volume.data, stored - 1024)
    assert scan.notes[:2] == (
        "2 copies of slices left out",
        "slices were stored in the wrong order: sorted by position",
    )


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"])
def test_other_uncompressed_encodings(tmp_path, dicom, stored, syntax):
    for path in dicom.series(tmp_path / "d", stored, _AFFINE):
        data = dcmread(path)
        data.file_meta.TransferSyntaxUID = syntax
        little = syntax != "1.2.840.10008.1.2.2"
        if not little:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
        dcmwrite(path, data, little_endian=little, implicit_vr=syntax == "1.2.840.10008.1.2")
    assert np.array_equal(_read(tmp_path / "d").volume.data, stored - 1024)


def _compressed(folder, dicom, stored, how):
    """Slices compressed without loss: RLE by pydicom, the others by GDCM."""
    files = dicom.series(folder, stored, _AFFINE)
    for path in files:
        data = dcmread(path)
        if how == "RLE":
            data.compress("1.2.840.10008.1.2.5")
        else:
            writer = SimpleITK.ImageFileWriter()
            writer.SetFileName(str(folder.parent / "one.dcm"))
            writer.UseCompressionOn()
            writer.SetCompressor(how)
            writer.Execute(SimpleITK.GetImageFromArray(data.pixel_array[None]))
            packed = dcmread(folder.parent / "one.dcm")
            data.file_meta.TransferSyntaxUID, data.PixelData = packed.file_meta.TransferSyntaxUID, packed.PixelData
            data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
        data.save_as(path)
    return files


@pytest.mark.parametrize("how", ["RLE", "JPEG", "JPEG2000"])
def test_compressed_slices(tmp_path, dicom, stored, how):
    files = _compressed(tmp_path / "d", dicom, stored, how)
    assert dcmread(files[0]).file_meta.TransferSyntaxUID.is_compressed
    assert np.array_equal(_read(tmp_path / "d").volume.data, stored - 1024)


def test_loss_by_compression_is_said(tmp_path, dicom, stored):
    dicom.series(tmp_path / "d", stored, _AFFINE, LossyImageCompression="01")
    assert "compressed with loss" in _read(tmp_path / "d").notes[0]


# === What is refused ===


@pytest.mark.parametrize(
    ("shape", "words"),
    [((24, 20), "a scan with 3 axes"), ((24, 20, 12, 2), "3 axes.*got dimensions"), ((24, 20, 7), "at least 8 slices")],
)
def test_nifti_of_a_wrong_shape(tmp_path, shape, words):
    _refused(_nifti(tmp_path / "n.nii.gz", np.zeros(shape, np.int16)), words)


def test_a_cut_nifti_and_one_that_is_none(tmp_path, stored):
    path = _nifti(tmp_path / "n.nii.gz", np.random.default_rng(0).integers(-999, 99, (20, 20, 20)).astype(np.int16))
    path.write_bytes(path.read_bytes()[:5000])
    _refused(path, "whole gzip archive|voxels, as its header says")
    path.write_bytes(b"<html>")
    _refused(path, "a NIfTI file in n.nii.gz, got a web page; export the scan again")
    scan = _scan(path)
    path.unlink()
    with pytest.raises(CaseError, match="No such file"):
        read_scan(scan)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"srow_x": [0, 0, 0, 0]}, "can be inverted"),
        ({"srow_x": [np.nan, 0, 0, 0]}, "finite affine"),
        ({"xyzt_units": 1}, "millimetres"),
    ],
)
def test_a_nifti_of_a_wrong_grid(tmp_path, stored, change, words):
    path = tmp_path / "n.nii"
    content = bytearray(nib.Nifti1Image((stored - 1024).astype(np.int16), _AFFINE).to_bytes())
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in change.items():
        header[name] = value
    content[:348] = header.binaryblock
    path.write_bytes(content)
    _refused(path, words)


@pytest.mark.parametrize("factor", [0.01, 100])
def test_a_spacing_that_is_not_in_mm(tmp_path, stored, factor):
    affine = np.diag([factor, factor, factor, 1]) @ _AFFINE
    _refused(
        _nifti(tmp_path / "n.nii", (stored - 1024).astype(np.int16), affine),
        r"a spacing of 0\.05 to 20 mm in n.nii, got",
    )


def test_values_that_are_no_hu(tmp_path, dicom, stored):
    _refused(_nifti(tmp_path / "n.nii", stored.astype(np.int16)), "a CT in HU.*intercept applied")
    dicom.series(tmp_path / "d", stored, _AFFINE, intercept=0)
    _refused(tmp_path / "d", "a CT in HU")


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"Modality": "MR"}, "expected a CT, got modality MR in slice_000.dcm"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME2, got 1 samples a pixel, MONOCHROME1"),
        ({"NumberOfFrames": 3}, "one slice a file, got 3 frames in slice_000.dcm; convert an enhanced"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient in every slice, got none in slice_000.dcm"),
        ({"ImageOrientationPatient": None}, "ImageOrientationPatient in every slice"),
        ({"PixelSpacing": None}, "PixelSpacing in every slice"),
        ({"PixelSpacing": [0, 1]}, "a PixelSpacing above 0"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "two right-angled directions"),
    ],
)
def test_series_that_are_no_ct_with_a_place(tmp_path, dicom, stored, tags, words):
    dicom.series(tmp_path / "d", stored, _AFFINE, **tags)
    _refused(tmp_path / "d", words)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"PixelSpacing": [0.7, 0.9]}, "one pixel spacing in all slices.*slice_004.dcm"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "one orientation in all slices.*slice_004.dcm"),
        ({"Rows": 10, "PixelData": bytes(480)}, "one size in all slices, 24 × 20 as in slice_000.dcm, got 24 × 10"),
        ({"ImagePositionPatient": [-70, -60, -488]}, "along one straight line, got slice_004.dcm off it"),
    ],
)
def test_one_slice_that_differs_is_named(tmp_path, dicom, stored, tags, words):
    slices = list(dicom.slices(stored, _AFFINE))
    for name, value in tags.items():
        setattr(slices[4], name, value)
    dicom.save(tmp_path / "d", slices)
    _refused(tmp_path / "d", words)


def test_two_series_in_one_scan(tmp_path, dicom, stored):
    files = dicom.series(tmp_path / "d", stored, _AFFINE)
    scan = _scan(tmp_path / "d")
    data = dcmread(files[4])
    data.SeriesInstanceUID = generate_uid()
    data.save_as(files[4])
    with pytest.raises(CaseError, match="one series in all slices"):
        read_scan(scan)
    files[4].unlink()
    with pytest.raises(CaseError, match=r"a DICOM slice in slice_004\.dcm, got .*No such file"):
        read_scan(scan)


def test_a_missing_slice_is_placed(tmp_path, dicom, stored):
    dicom.series(tmp_path / "d", stored, _AFFINE)[4].unlink()
    _refused(
        tmp_path / "d",
        r"slices 3\.00 mm apart, got 6\.00 mm between -491\.00 and -485\.00 mm \(slice_003\.dcm, slice_005\.dcm\)",
    )


def test_two_phases_in_one_series(tmp_path, dicom, stored):
    series = generate_uid()
    dicom.series(tmp_path / "d" / "1", stored, _AFFINE, series=series)
    dicom.series(tmp_path / "d" / "2", stored + 1, _AFFINE, series=series)
    _refused(tmp_path / "d", r"one slice at each position, got two different ones at -500\.00 mm")


def test_too_few_slices(tmp_path, dicom, stored):
    dicom.series(tmp_path / "d", stored[..., :7], _AFFINE)
    _refused(tmp_path / "d", "at least 8 slices, got 7; export the whole series")


def test_a_slice_that_is_cut_off_is_named(tmp_path, dicom, stored):
    path = dicom.series(tmp_path / "d", stored, _AFFINE)[6]
    path.write_bytes(path.read_bytes()[:-100])
    _refused(tmp_path / "d", r"whole pixel data in slice_006\.dcm, got 860 of 960 bytes")


def test_a_slice_without_pixels_is_named(tmp_path, dicom, stored):
    slices = list(dicom.slices(stored, _AFFINE))
    del slices[6].PixelData
    dicom.save(tmp_path / "d", slices)
    _refused(tmp_path / "d", r"whole pixel data in slice_006\.dcm, got none")


def test_a_compressed_slice_that_is_cut_off_or_damaged_is_named(tmp_path, dicom, stored):
    path = _compressed(tmp_path / "d", dicom, stored, "JPEG2000")[6]
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    _refused(tmp_path / "d", r"whole pixel data in slice_006\.dcm, got compressed data that end early")
    path.write_bytes(content[:-400] + bytes(392) + content[-8:])
    _refused(
        tmp_path / "d", r"pixel data that can be decoded in slice_006\.dcm, got .*export the series again, uncompressed"
    )
