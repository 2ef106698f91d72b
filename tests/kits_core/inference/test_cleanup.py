import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from kits_core.inference.cleanup import FOREGROUND_MM3, TUMOR_MM3, Choice, Islands, Rules, choose, clean, find_islands
from kits_core.metrics.overlap import dice

SPACING = (4.0, 2.0, 2.0)  # 16 mm³ a voxel


def _labels():
    """A kidney of 216 voxels, in it a tumour of 27 and a speck of 1; an island of 8 of kidney; one of 1 of tumour."""
    labels = np.zeros((12, 20, 20), np.uint8)
    labels[1:7, 1:7, 1:7] = 1
    labels[2:5, 2:5, 2:5] = 2
    labels[6, 6, 6] = 2
    labels[9:11, 15:17, 15:17] = 1
    labels[9, 2, 15] = 2
    return labels


def test_by_hand():
    cleaned = clean(_labels(), SPACING, Rules(foreground_mm3=9 * 16, tumor_mm3=2 * 16))
    expected = _labels()
    expected[9:11] = 0
    expected[6, 6, 6] = 1
    np.testing.assert_array_equal(cleaned, expected)


def test_a_speck_of_tumour_far_from_any_kidney_goes():
    assert clean(_labels(), SPACING, Rules(tumor_mm3=2 * 16))[9, 2, 15] == 0


def test_an_island_as_large_as_the_rule_stays():
    assert clean(_labels(), SPACING, Rules(foreground_mm3=8 * 16))[9, 15, 15] == 1


def test_no_rules_and_nothing_small_change_nothing():
    labels = _labels()
    assert clean(labels, SPACING, Rules()) is labels
    assert clean(labels, SPACING, Rules(foreground_mm3=1)) is labels
    empty = np.zeros((3, 3, 3), np.uint8)
    assert clean(empty, SPACING, Rules(1e9, 1e9)) is empty


def _blobs(seed, share):
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((12, 14, 13)), 0.9)
    labels = (noise > np.quantile(noise, 1 - share)).astype(np.uint8)
    inner = gaussian_filter(np.random.default_rng(seed + 1).standard_normal(labels.shape), 0.7) > 0.25
    labels[(labels == 1) & inner] = 2
    return labels


RULES = st.builds(Rules, st.sampled_from([0.0, 40.0, 300.0, 5_000.0]), st.sampled_from([0.0, 20.0, 100.0, 1_000.0]))


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.02, 0.4), RULES)
def test_counts_foretell_what_cleaning_does_and_cleaning_twice_changes_nothing(seed, share, rules):
    labels, reference = _blobs(seed, share), _blobs(seed + 7, 0.2)
    reference[reference == 2] = np.where(np.arange((reference == 2).sum()) % 5 == 0, 3, 2)
    cleaned = clean(labels, SPACING, rules)
    foretold = find_islands(labels, reference, SPACING).dice(rules)
    assert foretold == pytest.approx([dice(cleaned == label, reference == label) for label in (1, 2)])
    np.testing.assert_array_equal(clean(cleaned, SPACING, rules), cleaned)


def test_a_prediction_of_nothing_has_no_islands():
    islands = find_islands(np.zeros_like(_labels()), _labels(), SPACING)
    assert islands.dice(Rules(1e9, 1e9)) == (0, 0)
    assert find_islands(np.zeros_like(_labels()), np.zeros_like(_labels()), SPACING).dice(Rules()) == (1, 1)


def _case(*, islands):
    """A right kidney of 10,000 voxels of 1 mm³ with a right tumour of 3,000, and wrong islands of kidney."""
    whole = [[10_000, 3_000, 10_000, 3_000], *([size, 0, 0, 0] for size in islands)]
    return Islands(np.array(whole), np.array([[3_000, 3_000, 0]]), np.array([0]), np.array([10_000, 3_000]), 1.0)


def test_rules_are_chosen_where_they_help_and_remove_no_more_than_needed():
    choice = choose([_case(islands=[900, 600]), _case(islands=[])])
    assert choice.rules == Rules(foreground_mm3=FOREGROUND_MM3[1])
    assert choice.cases == 2
    assert choice.after == 1.0
    assert choice.before == pytest.approx((1 + (20_000 / 21_500 + 1) / 2) / 2)


def test_rules_that_help_one_region_and_hurt_the_other_are_not_chosen():
    """Every candidate that removes the wrong islands of kidney would remove a right tumour that stands alone."""
    whole = np.array([[50_000, 0, 50_000, 0], [900, 0, 0, 0], [0, 700, 0, 700]])
    both = Islands(whole, np.array([[700, 700, 0]]), np.array([2]), np.array([50_000, 700]), 1.0)
    assert choose([both]).rules == Rules()


def test_what_helps_less_than_the_noise_is_left():
    assert choose([_case(islands=[3])]).rules == Rules()


def test_no_cases_speak_for_nothing():
    choice = choose([])
    assert (choice.rules, choice.cases) == (Rules(), 0)


def test_a_choice_survives_the_catalog():
    choice = Choice(Rules(FOREGROUND_MM3[1], TUMOR_MM3[2]), 5, 0.5, 0.75)
    assert Choice.from_json(choice.to_json()) == choice
