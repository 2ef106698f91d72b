import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from kits_core.errors import CaseError
from kits_core.scan.itk import is_itk, itk_to_nifti


def _image(dtype=np.int16):
    values = np.random.default_rng(0).integers(-1000, 1000, (9, 10, 11)).astype(dtype)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.8, 3.0))
    image.SetOrigin((-120.5, 33.25, 1000.0))
    turn = sitk.VersorTransform((0.0, 0.0, 1.0), 0.3)
    image.SetDirection(turn.GetMatrix())
    return image


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".seg.nrrd"])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_voxels_keep_value_type_and_place(tmp_path, ending, dtype):
    """Against ITK's own writer of NIfTI."""
    image = _image(dtype)
    sitk.WriteImage(image, tmp_path / f"s{ending}")
    sitk.WriteImage(image, tmp_path / "itk.nii")
    assert is_itk(tmp_path / f"s{ending}")
    found = nib.load(itk_to_nifti(tmp_path / f"s{ending}", tmp_path / "t.nii", case="c"))
    expected = nib.load(tmp_path / "itk.nii")
    assert np.array_equal(found.dataobj, expected.dataobj)
    assert found.get_data_dtype() == dtype
    assert np.allclose(found.affine, expected.affine, atol=1e-4)


def test_other_files_are_none(tmp_path):
    for name, content in (("a.nii.gz", gzip.compress(b"x")), ("empty", b""), ("b.nii", b"\0" * 400)):
        (tmp_path / name).write_bytes(content)
        assert not is_itk(tmp_path / name)


@pytest.mark.parametrize("kept", [10, 0.5])
def test_a_file_that_is_cut_off_is_refused(tmp_path, kept):
    sitk.WriteImage(_image(), tmp_path / "s.nrrd")
    content = (tmp_path / "s.nrrd").read_bytes()
    (tmp_path / "s.nrrd").write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    with pytest.raises(CaseError, match=r"c: expected an image that ITK reads in s\.nrrd, got .*; export it again"):
        itk_to_nifti(tmp_path / "s.nrrd", tmp_path / "t.nii", case="c")


def test_other_than_three_dimensions_and_one_value(tmp_path):
    sitk.WriteImage(sitk.Compose(_image(), _image()), tmp_path / "v.nrrd")
    sitk.WriteImage(_image()[:, :, 0], tmp_path / "flat.mha")
    for name, got in (("v.nrrd", "3 dimensions, 2 values"), ("flat.mha", "2 dimensions")):
        with pytest.raises(CaseError, match=got):
            itk_to_nifti(tmp_path / name, tmp_path / "t.nii", case="c")
