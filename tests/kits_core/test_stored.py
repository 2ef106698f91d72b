"""Settings keep their name when a release adds, removes or changes a setting."""

from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kits_core.errors import KitsError
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe
from kits_core.stored import StoredSettings


class First(StoredSettings):
    rate: float = 0.1
    blur: bool = False


class Grown(StoredSettings):
    """A field more."""

    rate: float = 0.1
    blur: bool = False
    sharpen: bool = False


class Changed(StoredSettings):
    """A field less, and another default."""

    UPGRADES: ClassVar = (lambda old: {"rate": old.get("rate", 0.1)},)
    rate: float = 0.2


@pytest.mark.parametrize("settings", [{}, {"rate": 0.3}, {"blur": True}])
def test_a_new_field_renames_nothing(settings):
    assert Grown(**settings).hash == First(**settings).hash
    assert Grown.from_stored(First(**settings).to_stored()) == Grown(**settings)


def test_another_default_is_no_other_setting_of_what_was_stored():
    stored = First().to_stored()
    assert Changed.from_stored(stored) == Changed(rate=0.1)
    assert Changed.hash_of_stored(stored) == Changed(rate=0.1).hash != Changed().hash
    assert Changed.from_stored(First(rate=0.2, blur=True).to_stored()) == Changed()


def test_other_code_makes_another_name_and_what_it_made_keeps_its_own(monkeypatch):
    stored, before = First().to_stored(), First().hash
    monkeypatch.setattr(First, "CODE", 2)
    assert First().hash != before
    assert First.hash_of_stored(stored) == before
    assert First.hash_of_stored(First().to_stored()) == First().hash


def test_settings_of_a_newer_release_are_refused():
    with pytest.raises(KitsError, match=r"First: expected settings of version 1 at most, got version 2; .* update"):
        First.from_stored(Changed().to_stored())


def test_what_no_release_has_stored_is_refused():
    with pytest.raises(ValueError, match="color"):
        First.from_stored({"color": "red"})


@given(st.builds(First, rate=st.floats(0, 1), blur=st.booleans()), st.builds(First, rate=st.floats(0, 1)))
def test_settings_come_back_and_only_equal_ones_share_a_name(one, other):
    assert First.from_stored(one.to_stored()) == one
    assert First.hash_of_stored(one.to_stored()) == one.hash
    assert (one.hash == other.hash) == (one == other)


def test_every_setting_that_differs_counts():
    assert len({TrainingConfig().hash, TrainingConfig(seed=1).hash, TrainingConfig(fold=0).hash}) == 3
    assert len({Recipe().hash, Recipe(shape=64).hash, Recipe(window_hu=(-79.0, 305.0)).hash}) == 3
