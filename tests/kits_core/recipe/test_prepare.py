import numpy as np
import pytest

from kits_core.errors import CaseError
from kits_core.files import sha256_of
from kits_core.geometry import GridMap, Volume, read_volume, write_volume
from kits_core.labels import Label
from kits_core.phantom.anatomy import make_labels
from kits_core.phantom.dataset import kits_affine
from kits_core.phantom.paint import paint
from kits_core.recipe import Recipe, prepare_case

SPACING = (5.0, 3.0, 3.0)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(4)
    labels = make_labels((40, 104, 104), SPACING, rng)
    affine = kits_affine(SPACING)
    write_volume(folder / "imaging.nii", Volume(paint(labels, SPACING, rng), affine))
    write_volume(folder / "segmentation.nii", Volume(labels, affine))
    return folder


def _prepare(raw, folder, recipe=None, segmentation="segmentation.nii"):
    return prepare_case(
        "case_00001",
        raw / "imaging.nii",
        raw / segmentation if segmentation else None,
        recipe or Recipe(shape=64),
        folder,
    )


def test_a_pair_on_the_recipes_grid_with_its_record(raw, tmp_path):
    made = _prepare(raw, tmp_path)
    image, labels = read_volume(made.image_path), read_volume(made.label_path)
    assert image.shape == labels.shape == (64, 64, 64)
    assert (image.data.dtype, labels.data.dtype) == (np.int16, np.uint8)
    np.testing.assert_allclose(image.affine, made.grid.affine, atol=1e-4)
    assert set(np.unique(labels.data)) == {0, 1, 2}
    assert made.image_sha256 == sha256_of(made.image_path)
    assert GridMap.from_json(made.grid.to_json()) == made.grid


def test_nothing_is_cut_off_and_a_perfect_model_would_score_high(raw, tmp_path):
    made = _prepare(raw, tmp_path)
    assert made.kept[Label.KIDNEY] == made.kept[Label.TUMOR] == 1.0
    assert made.ceilings["kidney", "dice"] > 0.9
    assert made.ceilings["tumor", "dice"] > 0.9


def test_trimming_the_air_raises_the_ceiling(raw, tmp_path):
    whole = _prepare(raw, tmp_path / "whole", Recipe(shape=64, trim_air=False))
    trimmed = _prepare(raw, tmp_path / "trimmed")
    assert trimmed.ceilings["kidney", "dice"] > whole.ceilings["kidney", "dice"]
    assert np.prod(trimmed.grid.step_vox) < 0.85 * np.prod(whole.grid.step_vox)


def test_the_same_case_gives_the_same_bytes(raw, tmp_path):
    first, second = _prepare(raw, tmp_path / "1"), _prepare(raw, tmp_path / "2")
    assert (first.image_sha256, first.label_sha256) == (second.image_sha256, second.label_sha256)


def test_without_a_segmentation_only_the_image_is_made(raw, tmp_path):
    made = _prepare(raw, tmp_path, segmentation=None)
    assert made.label_path is None
    assert (made.kept, made.ceilings) == ({}, {})
    assert [path.name for path in tmp_path.iterdir()] == ["image.nii"]


def test_grids_that_differ_are_refused_by_name(raw, tmp_path):
    shifted = kits_affine(SPACING)
    shifted[0, 3] = 10
    volume = read_volume(raw / "segmentation.nii")
    write_volume(raw / "shifted.nii", Volume(np.asarray(volume.data), shifted))
    with pytest.raises(CaseError, match=r"case_00001: expected a segmentation on the image's grid \(40, 104, 104\)"):
        _prepare(raw, tmp_path, segmentation="shifted.nii")


def test_a_constant_image_is_refused(tmp_path):
    write_volume(tmp_path / "imaging.nii", Volume(np.zeros((9, 9, 9), np.int16), np.eye(4)))
    with pytest.raises(CaseError, match="image with contrast, got 0 HU in every voxel"):
        _prepare(tmp_path, tmp_path, segmentation=None)
