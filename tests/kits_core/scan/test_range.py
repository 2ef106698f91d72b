import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kits_core.geometry.volume import Volume
from kits_core.labels import Label
from kits_core.scan.features import FEATURES
from kits_core.scan.range import Flag, Reference, flags

_AFFINE = np.array([[-0.8, 0, 0, 0], [0, -0.7, 0, 0], [0, 0, 3.0, 0], [0, 0, 0, 1.0]])  # to the left, back and head
_VOLUME = Volume(np.zeros((10, 9, 8), np.int16), _AFFINE)
_USUAL = {
    "slice_spacing_mm": 3.0,
    "in_plane_spacing_mm": 0.8,
    "head_foot_extent_mm": 400.0,
    "in_plane_extent_mm": 380.0,
    "body_p5_hu": -110.0,
    "body_p50_hu": 30.0,
    "body_p95_hu": 160.0,
    "kidney_median_hu": 150.0,
}


def _reference(cases=391, **spans):
    """Cases like the usual one, but evenly from the first to the last value where a span is given."""
    ends = {name: spans.get(name, (usual, usual)) for name, usual in _USUAL.items()}
    return Reference.of(
        {name: np.linspace(first, last, cases)[n] for name, (first, last) in ends.items()} for n in range(cases)
    )


def _labels(*where):
    labels = np.zeros(_VOLUME.shape, np.uint8)
    labels[4:6, 4:6, 4:6] = Label.KIDNEY
    for index in where:
        labels[index] = Label.TUMOR
    return labels


def _flags(reference, *where, **changes):
    return flags({**_USUAL, **changes}, reference, _VOLUME, _labels(*where))


def test_the_usual_scan_has_no_flags():
    assert _flags(_reference()) == ()


def test_thick_slices_are_flagged_with_evidence():
    reference = _reference(slice_spacing_mm=(0.5, 5.0))
    assert _flags(reference, slice_spacing_mm=5.4) == ()
    (flag,) = _flags(reference, slice_spacing_mm=7.5)
    assert flag == Flag(
        "slice_spacing_mm",
        "slice spacing 7.5 mm; 98 % of the 391 training cases had 0.5 to 5.0 mm",
        "7.5 mm",
        "0.5 to 5.0 mm",
    )


@pytest.mark.parametrize("name", [name for name in FEATURES if name != "kidney_median_hu"])
def test_every_feature_is_flagged_on_both_sides(name):
    feature = FEATURES[name]
    for sign in (-1, 1):
        assert _flags(_reference(), **{name: _USUAL[name] + sign * feature.margin * 0.99}) == ()
        (flag,) = _flags(_reference(), **{name: _USUAL[name] + sign * feature.margin * 1.01})
        assert flag.code == name
        assert feature.words in flag.message


def test_few_cases_count_from_the_smallest_to_the_largest():
    few = _reference(cases=4, head_foot_extent_mm=(100, 500)).range_of("head_foot_extent_mm")
    assert (few.low, few.high, few.margin, few.cases) == (100, 500, 40, 4)
    many = _reference(cases=101, head_foot_extent_mm=(100, 500)).range_of("head_foot_extent_mm")
    assert (many.low, many.high) == pytest.approx((104, 496))
    (flag,) = _flags(_reference(cases=4), slice_spacing_mm=9.0)
    assert "the 4 training cases had 3.0 to 3.0 mm" in flag.message
    (flag,) = _flags(_reference(cases=1), slice_spacing_mm=9.0)
    assert "the 1 training case had" in flag.message


@pytest.mark.parametrize(
    ("hu", "words"),
    [
        (35, "the kidneys' median is 35 HU, as without contrast"),
        (90, "as in a phase with less contrast"),
        (260, "as in a phase with more contrast"),
    ],
)
def test_the_contrast_phase_is_an_estimate(hu, words):
    (flag,) = _flags(_reference(kidney_median_hu=(120, 220)), kidney_median_hu=float(hu))
    assert flag.code == "contrast_phase"
    assert words in flag.message
    assert "an estimate" in flag.message
    assert flag.expected == "121 to 219 HU"


def test_scans_without_contrast_are_no_surprise_to_a_model_that_has_seen_them():
    assert _flags(_reference(kidney_median_hu=(30, 220)), kidney_median_hu=35.0) == ()


@pytest.mark.parametrize(
    ("where", "side"),
    [
        ((0, 5, 5), "right (2 mm²)"),
        ((9, 5, 5), "left (2 mm²)"),
        ((5, 0, 5), "front (2 mm²)"),
        ((5, 8, 5), "back (2 mm²)"),
        ((5, 5, 0), "foot (1 mm²)"),
        ((5, 5, 7), "head (1 mm²)"),
    ],
)
def test_labels_at_the_edge_are_flagged_with_the_side(where, side):
    (flag,) = _flags(_reference(), where)
    assert (flag.code, flag.got) == ("kidney_cut", side)


def test_no_kidney_is_a_flag_of_its_own():
    described = {name: value for name, value in _USUAL.items() if name != "kidney_median_hu"}
    (flag,) = flags(described, _reference(), _VOLUME, np.zeros(_VOLUME.shape, np.uint8))
    assert flag.code == "no_kidney"


def test_without_training_cases_nothing_is_compared():
    assert _flags(Reference.of([]), slice_spacing_mm=99.0) == ()


@given(st.lists(st.dictionaries(st.sampled_from(list(FEATURES)), st.floats(-1e4, 1e4)), max_size=8))
def test_json_makes_the_same_reference_again(cases):
    reference = Reference.of(cases)
    assert Reference.from_json(json.loads(json.dumps(reference.to_json()))) == reference
    for name in FEATURES:
        known = reference.range_of(name)
        values = [case[name] for case in cases if name in case]
        assert (known is None) == (not values)
        assert all(known.holds(value) for value in values if values)


def test_features_of_a_later_version_are_left_out():
    assert Reference.from_json({"slice_spacing_mm": [3], "smell": [1]}) == Reference({"slice_spacing_mm": (3.0,)})
