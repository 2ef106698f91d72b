import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kits_core.errors import KitsError
from kits_core.split import StratumFacts, make_split, split_hash


def _facts(count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        f"case_{i:05d}": StratumFacts(
            tumor_ml=float(rng.lognormal(3.5, 1.2)),
            phase="nephrogenic" if i % 5 == 0 else "arterial",
            has_cyst=bool(rng.random() < 0.5),
        )
        for i in range(count)
    }


@given(count=st.integers(2, 120), share=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_sides_are_disjoint_complete_and_of_the_asked_size(count, share, seed):
    facts = _facts(count)
    held_out = round(share * count)
    if held_out in (0, count):
        with pytest.raises(KitsError, match="at least one case on each side"):
            make_split(facts, validation=share, folds=None, seed=seed)
        return
    split = make_split(facts, validation=share, folds=None, seed=seed)
    assert len(split.validation) == held_out
    assert set(split.train) | set(split.validation) == set(facts)
    assert not set(split.train) & set(split.validation)


def test_489_cases_give_391_and_98():
    split = make_split(_facts(489), validation=0.2, folds=None, seed=23)
    assert (len(split.train), len(split.validation)) == (391, 98)


def test_strata_are_shared_out_evenly():
    facts = _facts(489)
    split = make_split(facts, validation=0.2, folds=None, seed=23)
    large = {name for name, stratum in split.strata.items() if stratum.startswith("tumour large")}
    assert abs(len(large & set(split.validation)) / 98 - len(large) / 489) < 0.02


def test_the_same_seed_gives_the_same_split_and_another_another():
    facts = _facts(60)
    first = make_split(facts, validation=0.2, folds=None, seed=1)
    assert first == make_split(dict(reversed(facts.items())), validation=0.2, folds=None, seed=1)
    assert first.validation != make_split(facts, validation=0.2, folds=None, seed=2).validation


def test_every_case_lies_in_just_one_fold():
    split = make_split(_facts(50), validation=0.2, folds=5, seed=1)
    assert sorted(split.folds) == sorted(_facts(50))
    assert np.bincount(list(split.folds.values())).tolist() == [10] * 5


def test_the_hash_changes_with_the_cases_and_the_settings():
    facts = _facts(10)
    hashes = {
        split_hash(facts, validation=0.2, folds=None, seed=1),
        split_hash(facts, validation=0.2, folds=None, seed=2),
        split_hash(facts, validation=0.3, folds=None, seed=1),
        split_hash(_facts(11), validation=0.2, folds=None, seed=1),
    }
    assert len(hashes) == 4
    assert split_hash(_facts(10), validation=0.2, folds=None, seed=1) in hashes
