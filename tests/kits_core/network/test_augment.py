"""Against `scipy.ndimage`, which this replaced, and by what a training may rely on."""

import keras
import numpy as np
import pytest
from scipy.ndimage import affine_transform

from kits_core.network.augment import augmented
from kits_core.network.changes import Changes
from kits_core.network.loader import Batch
from kits_core.recipe.recipe import Recipe

SHAPE = 32
PLAIN = Recipe(shape=SHAPE)
AROUND = Recipe(shape=SHAPE, frame="kidneys")  # stored with context
STORED = SHAPE + 2 * AROUND.context


def _pairs(count, size):
    """As in a file, z first: smooth intensities of 0 to 300 HU with noise, and a cuboid of each label."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, size)
    images = ramp[:, None, None] + 100 * np.cos(ramp / 40)[None, :, None] + rng.normal(0, 20, (count, size, size, size))
    labels = np.zeros(images.shape, np.uint8)
    labels[:, 4:20, 8:24, 6:14] = 1
    labels[:, 6:10, 10:14, 8:12] = 2
    return images.astype(np.int16), labels


def _batch(changes, size):
    images, labels = _pairs(len(changes.place), size)
    return Batch(tuple(map(str, range(len(images)))), images, labels, changes)


def _changes(count, size, seed=0):
    changes = Changes.none(count, size, SHAPE)
    for row in range(count):
        changes.draw(row, np.random.default_rng((seed, row)), size, SHAPE)
    return changes


def _augmented(batch, recipe=PLAIN):
    return tuple(keras.ops.convert_to_numpy(each)[..., 0] for each in augmented(batch, recipe))


def test_it_does_what_scipy_does_but_for_the_noise():
    changes = _changes(6, STORED)
    changes.values[:, 3] = 0
    batch = _batch(changes, STORED)
    images, labels = _augmented(batch, AROUND)
    assert (images.dtype, labels.dtype) == (np.float32, np.uint8)
    for place, how, hu, truth, image, found in zip(
        changes.place, changes.values, batch.images, batch.labels, images, labels, strict=True
    ):
        matrix, offset, out = place[:, :3].astype(float), place[:, 3].astype(float), (SHAPE,) * 3
        expected = affine_transform(AROUND.standardise(hu).T, matrix, offset, out, order=1, mode="nearest")
        low, span = expected.min(), np.ptp(expected)
        expected = (((expected - low) / span) ** how[0] * span + low) * how[1] + how[2]
        np.testing.assert_allclose(image, expected, atol=2e-4)
        wanted = affine_transform(truth.T, matrix, offset, out, order=0, mode="constant")
        assert (found != wanted).mean() < 1e-3  # where an index lies half way, float32 rounds otherwise


def test_without_changes_the_centre_comes_as_the_recipe_standardises_it():
    batch = _batch(Changes.none(2, STORED, SHAPE), STORED)
    images, labels = _augmented(batch, AROUND)
    for hu, truth, image, found in zip(batch.images, batch.labels, images, labels, strict=True):
        np.testing.assert_allclose(image, AROUND.standardise(AROUND.central(hu.T)), atol=1e-6)
        np.testing.assert_array_equal(found, AROUND.central(truth.T))


def test_the_same_changes_give_the_same_batch_and_others_another():
    first, second, other = (_augmented(_batch(_changes(2, SHAPE, seed), SHAPE)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_a_sample_is_the_same_whatever_else_is_in_its_batch():
    changes, size = _changes(3, SHAPE), SHAPE
    images, labels = _pairs(3, size)
    whole = _augmented(Batch(("a", "b", "c"), images, labels, changes))
    last = Changes(changes.place[2:], changes.values[2:], changes.noise[2:])
    alone = _augmented(Batch(("c",), images[2:], labels[2:], last))
    np.testing.assert_allclose(alone[0][0], whole[0][2], atol=1e-5)
    np.testing.assert_array_equal(alone[1][0], whole[1][2])


def test_noise_has_the_deviation_that_was_drawn_and_differs_between_samples():
    changes = Changes.none(2, SHAPE, SHAPE)
    changes.values[:, 3], changes.noise[:] = 0.1, [[1, 2], [3, 4]]
    flat = Batch(("a", "b"), np.full((2, *(SHAPE,) * 3), 100, np.int16), _pairs(2, SHAPE)[1], changes)
    first, second = _augmented(flat)[0]
    assert first.std() == pytest.approx(0.1, rel=0.02)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02


def test_image_and_labels_move_together():
    images, labels = np.zeros((8, *(SHAPE,) * 3), np.int16), _pairs(8, SHAPE)[1]
    images[labels > 0] = 200
    changed, found = _augmented(Batch(tuple("abcdefgh"), images, labels, _changes(8, SHAPE)))
    for image, truth in zip(changed, found, strict=True):
        assert set(np.unique(truth)) <= {0, 1, 2}
        assert image[truth > 0].mean() - image[truth == 0].mean() > 1


def test_left_and_right_change_places_but_head_and_feet_never():
    labels = np.zeros((40, *(SHAPE,) * 3), np.uint8)
    labels[:, 22:30, 8:24, 4:12] = 1  # z, y, x: up, and on the low side of x
    batch = Batch(tuple(map(str, range(40))), labels.astype(np.int16), labels, _changes(40, SHAPE))
    centres = [np.argwhere(found).mean(axis=0) for found in _augmented(batch)[1]]
    assert {bool(centre[0] < 15.5) for centre in centres} == {True, False}
    assert {bool(centre[2] > 15.5) for centre in centres} == {True}


def test_beyond_the_stored_pair_the_image_goes_on_and_the_labels_are_background():
    changes = Changes.none(1, SHAPE, SHAPE)
    changes.place[0, 0, 3] = 10  # everything comes from 10 voxels further along x
    images, labels = np.full((1, *(SHAPE,) * 3), 50, np.int16), np.ones((1, *(SHAPE,) * 3), np.uint8)
    images[..., -1] = 200
    (image,), (found,) = _augmented(Batch(("a",), images, labels, changes))
    np.testing.assert_allclose(image[22:], PLAIN.standardise(np.array(200)), atol=1e-5)
    assert found[:21].all()
    assert not found[23:].any()


def test_intensities_are_bent_between_their_extremes_and_flat_ones_stay():
    changes = Changes.none(2, SHAPE, SHAPE)
    changes.values[:, 0] = 1.3
    images, labels = _pairs(2, SHAPE)
    images[1] = 100
    bent, flat = _augmented(Batch(("a", "b"), images, labels, changes))[0]
    plain = PLAIN.standardise(images[0].T)
    np.testing.assert_allclose([bent.min(), bent.max()], [plain.min(), plain.max()], atol=1e-5)
    assert (np.diff(bent.ravel()[np.argsort(plain.ravel())]) >= -1e-5).all()
    assert np.abs(bent - plain).max() > 0.1
    np.testing.assert_allclose(flat, PLAIN.standardise(np.array(100)), atol=1e-6)
