import cc3d
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kits_core.errors import KitsError
from kits_core.labels import Label
from kits_core.phantom.anatomy import make_labels
from kits_core.phantom.fields import distance_mm

_SHAPE, _SPACING = (48, 128, 128), (4.0, 2.5, 2.5)


def _many(count=40):
    return [make_labels(_SHAPE, _SPACING, np.random.default_rng(seed)) for seed in range(count)]


def test_every_patient_has_kidneys_and_a_tumour_and_about_half_a_cyst():
    patients = _many()
    assert all((p == Label.KIDNEY).any() and (p == Label.TUMOR).any() for p in patients)
    assert 0.3 <= np.mean([(p == Label.CYST).any() for p in patients]) <= 0.7


def test_volumes_are_those_of_adults():
    ml = np.prod(_SPACING) / 1000
    for patient in _many(12):
        assert 120 < np.count_nonzero(patient) * ml < 900
    tumours = [np.count_nonzero(p == Label.TUMOR) * ml for p in _many()]
    assert np.median(tumours) > 8
    assert max(tumours) > 60


def test_kidneys_lie_on_both_sides_in_the_posterior_half_and_the_right_one_is_lower():
    lower = 0
    for patient in _many(10):
        where = np.argwhere(patient == Label.KIDNEY)
        right, left = where[where[:, 2] < 64], where[where[:, 2] >= 64]
        assert len(right) > 500
        assert len(left) > 500
        assert where[:, 1].mean() > 64
        lower += right[:, 0].mean() > left[:, 0].mean()  # axis 0 runs to inferior
    assert lower >= 7


def test_the_sinus_opens_medially():
    # Seen from its own side, a kidney without masses is notched towards the middle: background between its two lips.
    patient = make_labels(_SHAPE, _SPACING, np.random.default_rng(7))
    kidney = patient[:, :, :64] > 0
    middle = int(np.argwhere(kidney)[:, 0].mean())
    rows = [np.flatnonzero(kidney[middle, row]) for row in range(128) if kidney[middle, row].any()]
    medial_edges = [row[-1] for row in rows]
    assert min(medial_edges[2:-2]) < max(medial_edges) - 3


@settings(max_examples=20, deadline=None)
@given(
    shape=st.tuples(st.integers(8, 60), st.integers(8, 96), st.integers(8, 96)),
    spacing=st.tuples(st.floats(0.5, 6), st.floats(0.4, 4), st.floats(0.4, 4)),
    seed=st.integers(0, 1000),
)
def test_any_grid_holds_a_patient(shape, spacing, seed):
    labels = make_labels(shape, spacing, np.random.default_rng(seed))
    assert labels.shape == shape
    assert labels.dtype == np.uint8
    assert labels.max() <= Label.CYST
    assert (labels == Label.TUMOR).any()


def test_anisotropy_does_not_change_the_patient():
    volumes = [
        np.count_nonzero(make_labels(shape, spacing, np.random.default_rng(3))) * np.prod(spacing)
        for shape, spacing in (((100, 128, 128), (2, 2.5, 2.5)), ((40, 64, 160), (5, 5, 2)))
    ]
    assert volumes[0] == pytest.approx(volumes[1], rel=0.03)


def test_the_same_seed_gives_the_same_patient_and_another_another():
    first, again, other = (make_labels(_SHAPE, _SPACING, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_masses_are_in_one_piece_each():
    for patient in _many(10):
        _, count = cc3d.connected_components(patient == Label.TUMOR, return_N=True)
        assert 1 <= count <= 4


def test_grids_that_hold_nobody_are_refused():
    with pytest.raises(KitsError, match="at least 8 voxels"):
        make_labels((4, 64, 64), _SPACING, np.random.default_rng(0))
    with pytest.raises(KitsError, match="above 0"):
        make_labels(_SHAPE, (0, 1, 1), np.random.default_rng(0))


def test_distance_is_in_mm_along_each_axis():
    mask = np.ones((5, 5, 5), bool)
    mask[0, 2, 2] = False
    found = distance_mm(mask, (3.0, 1.0, 1.0))
    assert found[2, 2, 2] == pytest.approx(6)
    assert distance_mm(np.ones((3, 3, 3), bool), (1, 1, 1)).max() == 1000
