import numpy as np
import pytest

from kits_core.errors import CaseError
from kits_core.files import sha256_of
from kits_core.geometry import GridMap, Volume, read_volume, write_volume
from kits_core.labels import Label
from kits_core.phantom.anatomy import make_labels
from kits_core.phantom.dataset import kits_affine
from kits_core.phantom.paint import paint
from kits_core.recipe import Recipe
from kits_core.recipe.prepare import prepare_case

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
    write_volume(tmp_path / "imaging.nii", Volume(np.zeros((70, 9, 9), np.int16), np.eye(4)))
    with pytest.raises(CaseError, match="image with contrast, got 0 HU in every voxel"):
        _prepare(tmp_path, tmp_path, segmentation=None)


def test_the_box_around_the_kidneys_has_a_higher_ceiling_and_context_around_it(raw, tmp_path):
    whole = _prepare(raw, tmp_path / "whole")
    recipe = Recipe(frame="kidneys", shape=64)
    made = _prepare(raw, tmp_path / "kidneys", recipe)
    image, labels = read_volume(made.image_path), read_volume(made.label_path)
    assert image.shape == labels.shape == (80, 80, 80)
    assert made.grid.shape == (64, 64, 64)
    assert made.kept[Label.KIDNEY] == made.kept[Label.TUMOR] == 1.0
    assert made.ceilings["tumor", "dice"] > whole.ceilings["tumor", "dice"]
    assert made.ceilings["tumor", "surface_dice"] > whole.ceilings["tumor", "surface_dice"]
    np.testing.assert_allclose(image.affine @ [8, 8, 8, 1], made.grid.affine @ [0, 0, 0, 1], atol=1e-4)
    # All that is labelled lies in the part that the network sees, and real tissue, not air, around it.
    assert np.count_nonzero(recipe.central(np.asarray(labels.data))) == np.count_nonzero(labels.data)
    assert np.asarray(image.data)[:, :, :8].max() > 0


def test_volumes_after_are_those_before(raw, tmp_path):
    made = _prepare(raw, tmp_path)
    reference = read_volume(raw / "segmentation.nii")
    for label in (Label.KIDNEY, Label.TUMOR):
        before = np.count_nonzero(reference.data == label) * np.prod(SPACING) / 1000
        assert made.volumes_ml[label] == pytest.approx(before, rel=0.1)


def test_a_fixed_spacing_keeps_all_that_is_labelled_or_refuses_the_case(raw, tmp_path):
    made = _prepare(raw, tmp_path / "1", Recipe(frame="kidneys", shape=96, spacing_mm=3.0))
    np.testing.assert_allclose(np.linalg.norm(made.grid.affine[:3, :3], axis=0), 3.0)
    assert min(made.kept.values()) == 1.0
    with pytest.raises(
        CaseError, match=r"case_00001: expected all that is labelled within 96 mm, got .*% of the kidney"
    ):
        _prepare(raw, tmp_path / "2", Recipe(shape=64, spacing_mm=1.5))
    assert not (tmp_path / "2").exists()


def test_the_kidneys_of_a_case_without_a_reference_are_not_guessed(raw, tmp_path):
    with pytest.raises(CaseError, match="expected a segmentation, which says where the kidneys are"):
        _prepare(raw, tmp_path, Recipe(frame="kidneys", shape=64), segmentation=None)


def _spoilt(raw, folder, *, image=None, labels=None):
    """The raw pair with changes, as a folder of its own."""
    for name, change in (("imaging.nii", image), ("segmentation.nii", labels)):
        volume = read_volume(raw / name)
        write_volume(folder / name, change(volume) if change else volume)
    return folder


def _with(values, dtype=None):
    def change(volume):
        data = np.array(volume.data, dtype=dtype)
        values(data)
        return Volume(data, volume.affine)

    return change


def _no_kidney(data):
    data[data == 1] = 2


def _nan(data):
    data[20, 50, 50] = np.nan


BAD = {
    "a label that is none": ({"labels": _with(lambda data: data.fill(7))}, "expected labels from 0 to 3, got 7 to 7"),
    "no kidney": ({"labels": _with(_no_kidney)}, "expected a kidney in the segmentation, got no voxel with label 1"),
    "nothing labelled": ({"labels": _with(lambda data: data.fill(0))}, "expected a kidney in the segmentation"),
    "NaN": ({"image": _with(_nan, np.float32)}, "expected a finite HU value in every voxel"),
    "rotated axes": (
        {"labels": lambda v: Volume(np.ascontiguousarray(v.data.transpose(2, 1, 0)), v.affine)},
        "expected a segmentation on the image's grid",
    ),
    "mirrored axes": (
        {"labels": lambda v: Volume(np.array(v.data), v.affine @ np.diag([1, 1, -1, 1]))},
        "expected a segmentation on the image's grid",
    ),
    "a scan smaller than the grid": (
        {
            "image": lambda v: Volume(np.array(v.data[:, :60, :60]), v.affine),
            "labels": lambda v: Volume(np.ones((40, 60, 60), np.uint8), v.affine),
        },
        "expected a scan with at least 64 voxels along some axis",
    ),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("frame", ["volume", "kidneys"])
def test_what_is_refused(raw, tmp_path, kind, frame):
    changes, reason = BAD[kind]
    spoilt = _spoilt(raw, tmp_path, **changes)
    with pytest.raises(CaseError, match=reason) as caught:
        _prepare(spoilt, tmp_path / "out", Recipe(frame=frame, shape=64))
    assert caught.value.case == "case_00001"
    assert not list(tmp_path.glob("out/*"))
