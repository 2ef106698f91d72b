from collections import Counter

import numpy as np
import sklearn.model_selection  # noqa: F401 - drawing imports it, which would count as the first example's time
from hypothesis import given
from hypothesis import strategies as st

from kits_core.grown_split import grow_split
from kits_core.own_folds import OWN
from kits_core.split import Split, StratumFacts, check_leaks, make_split


def _facts(count, patients=None):
    rng = np.random.default_rng(count)
    return {
        f"case_{i:05d}": StratumFacts(
            tumor_ml=float(rng.lognormal(3.5, 1.2)),
            phase=None,
            has_cyst=bool(rng.random() < 0.5),
            patient=None if patients is None else f"p{i % patients}",
        )
        for i in range(count)
    }


def _sides(split):
    return dict.fromkeys(split.train, "train") | dict.fromkeys(split.validation, "validation")


@given(
    count=st.integers(4, 40),
    more=st.integers(0, 40),
    gone=st.integers(0, 2),
    patients=st.one_of(st.none(), st.integers(4, 30)),
    folds=st.sampled_from([None, 2]),
    seed=st.integers(0, 99),
)
def test_no_case_changes_its_side_or_fold_and_the_share_is_filled_up(**drawn):
    count, more, gone, patients, folds, seed = drawn.values()
    facts = _facts(count + more, patients)
    first = dict(list(facts.items())[:count])
    if len({fact.patient or name for name, fact in first.items()}) < 4:
        return
    kept = make_split(first, validation=0.25, folds=folds, seed=seed)
    now = dict(list(facts.items())[gone:])
    grown = grow_split(kept, now, validation=0.25, seed=seed)
    before, after = _sides(kept), _sides(grown)
    assert after.keys() == now.keys() == grown.strata.keys()
    assert all(after[name] == side for name, side in before.items() if name in now)
    assert all(grown.folds[name] == fold for name, fold in kept.folds.items() if name in now)
    assert grown.folds.keys() == (now.keys() if folds else set())
    check_leaks(after, patients={name: fact.patient for name, fact in facts.items()}, images={})
    owner = {name: fact.patient or name for name, fact in now.items()}
    held_out = len({owner[name] for name in grown.validation})
    there = len({owner[name] for name in before.keys() & owner.keys() if before[name] == "validation"})
    new = len(set(owner.values())) - len({owner[name] for name in before.keys() & owner.keys()})
    assert held_out == min(max(there, round(0.25 * len(set(owner.values())))), there + new)


def test_one_new_case_is_trained_on_where_enough_are_held_out():
    kept = make_split(_facts(30), validation=0.2, folds=None, seed=23)
    grown = grow_split(kept, _facts(30) | {"new": StratumFacts(5.0, None, has_cyst=False)}, validation=0.2, seed=23)
    assert grown.validation == kept.validation
    assert set(grown.train) == {*kept.train, "new"}


def test_of_many_new_cases_all_strata_are_held_out_alike():
    facts = _facts(400)
    kept = make_split(dict(list(facts.items())[:100]), validation=0.2, folds=None, seed=23)
    grown = grow_split(kept, facts, validation=0.2, seed=23)
    assert len(grown.validation) == 80
    shares = [Counter(grown.strata[name].split(" ")[1] for name in names) for names in (grown.train, grown.validation)]
    for size in ("small", "medium", "large"):
        assert abs(shares[0][size] / 320 - shares[1][size] / 80) < 0.05
    assert grow_split(kept, dict(reversed(facts.items())), validation=0.2, seed=23) == grown
    assert grow_split(kept, facts, validation=0.2, seed=24) != grown


def test_new_cases_fill_up_the_smallest_folds():
    facts = _facts(9)
    kept = make_split(dict(list(facts.items())[:4]), validation=0.25, folds=2, seed=1)
    folds = Counter(grow_split(kept, facts, validation=0.25, seed=1).folds.values())
    assert sorted(folds.values()) == [4, 5]


def test_a_split_of_ones_own_stays_one():
    facts = _facts(6)
    names = sorted(facts)
    kept = Split(tuple(names[:3]), (names[3],), dict.fromkeys(names[:4], OWN), {})
    assert set(grow_split(kept, facts, validation=0.2, seed=1).strata.values()) == {OWN}


def test_a_split_that_was_drawn_without_strata_has_none_afterwards():
    facts = _facts(6)
    kept = make_split(dict(list(facts.items())[:4]), validation=0.25, folds=None, seed=1)
    assert set(grow_split(kept, facts, validation=0.25, seed=1).strata.values()) == {"other"}
