import numpy as np

from kits_core.network.augment import augment


def _pair():
    labels = np.zeros((24, 24, 24), np.uint8)
    labels[4:10, 8:16, 13:22] = 1
    return labels.astype(np.float32) * 3 - 1, labels


def test_the_same_generator_gives_the_same_pair_and_another_another():
    first, second, other = (augment(*_pair(), 24, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])


def test_shapes_types_and_label_values_stay():
    for seed in range(20):
        image, labels = augment(*_pair(), 24, np.random.default_rng(seed))
        assert (image.dtype, labels.dtype) == (np.float32, np.uint8)
        assert image.shape == labels.shape == (24, 24, 24)
        assert set(np.unique(labels)) <= {0, 1}


def test_image_and_labels_move_together():
    for seed in range(20):
        image, labels = augment(*_pair(), 24, np.random.default_rng(seed))
        assert image[labels == 1].mean() - image[labels == 0].mean() > 2


def test_left_and_right_change_places_but_head_and_feet_never():
    sides, heads = set(), set()
    for seed in range(40):
        centre = np.argwhere(augment(*_pair(), 24, np.random.default_rng(seed))[1]).mean(axis=0)
        sides.add(bool(centre[0] < 11.5))
        heads.add(bool(centre[2] > 11.5))
    assert sides == {True, False}
    assert heads == {True}


def test_the_input_is_left_as_it_was():
    image, labels = _pair()
    augment(image, labels, 24, np.random.default_rng(0))
    np.testing.assert_array_equal(image, _pair()[0])
    np.testing.assert_array_equal(labels, _pair()[1])


def test_a_box_moves_in_real_data_where_there_is_some_around():
    # A ramp: wherever the box goes it sees the ramp go on, never the repeated edge that a pair without context has.
    ramp = np.broadcast_to(np.linspace(0, 1, 48, dtype=np.float32)[:, None, None], (48, 48, 48))
    centres = set()
    for seed in range(20):
        image, labels = augment(ramp, np.ones((48, 48, 48), np.uint8), 32, np.random.default_rng(seed))
        assert image.shape == labels.shape == (32, 32, 32)
        assert labels.all()
        centres.add(round(float(image.mean()), 1))
    assert len(centres) > 1


def test_gamma_bends_intensities_between_their_extremes():
    from kits_core.network.augment import _gamma

    image = np.linspace(-2, 3, 1000, dtype=np.float32).reshape(10, 10, 10)
    bent = [_gamma(image, np.random.default_rng(seed)) for seed in range(10)]
    for each in bent:
        np.testing.assert_allclose([each.min(), each.max()], [-2, 3], atol=1e-5)
        assert (np.diff(each.ravel()) >= 0).all()
    assert any(abs(each[5, 0, 0] - image[5, 0, 0]) > 0.05 for each in bent)
    flat = np.ones((2, 2, 2), np.float32)
    assert (_gamma(flat, np.random.default_rng(0)) == 1).all()
