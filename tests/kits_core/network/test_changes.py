import numpy as np

from kits_core.network.changes import Changes


def _draw(count, stored=48, shape=32):
    changes = Changes.none(count, stored, shape)
    for row in range(count):
        changes.draw(row, np.random.default_rng(row), stored, shape)
    return changes


def test_one_row_a_sample_each_a_function_of_its_generator_alone():
    changes = _draw(5)
    assert (changes.place.shape, changes.values.shape, changes.noise.shape) == ((5, 3, 4), (5, 4), (5, 2))
    assert (changes.place.dtype, changes.values.dtype, changes.noise.dtype) == (np.float32, np.float32, np.int32)
    more = _draw(6)
    for name in ("place", "values", "noise"):
        np.testing.assert_array_equal(getattr(more, name)[:5], getattr(changes, name))
        assert not np.array_equal(getattr(changes, name)[2], getattr(changes, name)[3])


def test_half_are_mirrored_and_none_stands_on_its_head():
    diagonals = np.array([np.diag(place[:, :3]) for place in _draw(400).place])
    assert 0.4 < (diagonals[:, 0] < 0).mean() < 0.6
    assert (diagonals[:, 1:] > 0.7).all()
    assert (abs(diagonals[:, 0]) > 0.7).all()


def test_some_stay_where_they_are_and_the_box_never_goes_far():
    place = _draw(400).place
    centres = place[:, :, :3] @ np.full(3, 15.5) + place[:, :, 3]
    assert np.abs(centres - 23.5).max() <= 0.06 * 32 + 1e-4
    still = np.abs(centres - 23.5).max(axis=1) < 1e-4
    assert 0.1 < still.mean() < 0.3
    for matrix in place[still, :, :3]:
        np.testing.assert_array_equal(np.abs(matrix), np.eye(3))


def test_half_keep_their_gamma():
    power = _draw(400).values[:, 0]
    assert 0.4 < (power == 1).mean() < 0.6
    assert np.exp(-0.3) <= power.min() < 1 < power.max() <= np.exp(0.3)


def test_none_leaves_the_centre_as_it_is():
    changes = Changes.none(2, stored=40, shape=32)
    np.testing.assert_array_equal(changes.place[1], np.hstack([np.eye(3), np.full((3, 1), 4.0)]))
    np.testing.assert_array_equal(changes.values[1], [1, 1, 0, 0])
