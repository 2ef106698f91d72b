import numpy as np
import pytest
from pydantic import ValidationError

from kits_core.recipe import Recipe


def test_the_hash_is_stable_and_changes_with_every_setting():
    assert Recipe().hash == Recipe().hash
    others = [
        Recipe(shape=64),
        Recipe(trim_air=False),
        Recipe(window_hu=(-100, 300)),
        Recipe(mean_hu=0),
        Recipe(deviation_hu=1),
        Recipe(cyst_to="tumor"),
    ]
    assert len({recipe.hash for recipe in [Recipe(), *others]}) == 7


@pytest.mark.parametrize(("rule", "becomes"), [("background", 0), ("kidney", 1), ("tumor", 2)])
def test_a_cyst_goes_where_the_rule_says(rule, becomes):
    reduced = Recipe(cyst_to=rule).reduce(np.array([0, 1, 2, 3], np.uint8))
    assert reduced.tolist() == [0, 1, 2, becomes]
    assert reduced.dtype == np.uint8


def test_standardising_by_hand():
    recipe = Recipe(window_hu=(-100, 300), mean_hu=100, deviation_hu=50)
    result = recipe.standardise(np.array([-1000, -100, 100, 3000], np.int16))
    assert result.tolist() == [-4, -4, 0, 4]
    assert result.dtype == np.float32


@pytest.mark.parametrize(
    "wrong",
    [{"shape": 48}, {"shape": 0}, {"window_hu": (300, -79)}, {"deviation_hu": 0}, {"frame": "slab"}, {"sape": 1}],
)
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValidationError):
        Recipe(**wrong)


def test_a_name_says_frame_shape_and_what_is_no_default():
    assert Recipe().name == "volume 128"
    other = Recipe(frame="kidneys", shape=64, cyst_to="tumor", locator="a1b2c3d4" * 8)
    assert other.name == "kidneys 64, locator a1b2c3d4, cyst_to tumor"
