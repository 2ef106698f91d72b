import json
from dataclasses import replace

import numpy as np
import pytest
import sklearn.model_selection  # noqa: F401 - make_split imports it, which would count as the first example's time
from hypothesis import given
from hypothesis import strategies as st

from kits_core.errors import KitsError
from kits_core.split import StratumFacts, check_leaks, make_split, split_hash, stratified_by


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
        with pytest.raises(KitsError, match="at least one on each side"):
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


def test_the_489_records_of_the_challenge_give_391_and_98(real_masks):
    records = json.loads((real_masks / "kits23.json").read_text())
    facts = {
        record["case_id"]: StratumFacts(
            # A ball of the tumour's diameter: the volumes themselves come with the segmentations.
            tumor_ml=np.pi / 6 * (record["radiographic_size"] or 0.0) ** 3,
            phase="nephrogenic" if record["case_id"] >= "case_00500" else "arterial",
            has_cyst=False,
        )
        for record in records
    }
    assert len(facts) == 489
    split = make_split(facts, validation=0.2, folds=5, seed=23)
    assert (len(split.train), len(split.validation)) == (391, 98)
    assert sorted(np.bincount(list(split.folds.values()))) == [97, 98, 98, 98, 98]
    late = {name for name in facts if name >= "case_00500"}
    assert abs(len(late & set(split.validation)) / 98 - len(late) / 489) < 0.02


@given(count=st.integers(8, 60), patients=st.integers(4, 40), seed=st.integers(0, 50))
def test_all_scans_of_a_patient_are_on_one_side_and_in_one_fold(count, patients, seed):
    rng = np.random.default_rng(seed)
    facts = {name: replace(f, patient=f"p{rng.integers(patients)}") for name, f in _facts(count, seed).items()}
    owners = {fact.patient for fact in facts.values()}
    if len(owners) < 4:
        return
    split = make_split(facts, validation=0.3, folds=2, seed=seed)
    sides = dict.fromkeys(split.train, "train") | dict.fromkeys(split.validation, "validation")
    assert sides.keys() == facts.keys() == split.folds.keys()
    check_leaks(sides, patients={name: fact.patient for name, fact in facts.items()}, images={})
    assert len({facts[name].patient for name in split.validation}) == round(0.3 * len(owners))
    assert all(len({split.folds[n] for n in facts if facts[n].patient == owner}) == 1 for owner in owners)


def test_a_leak_is_named():
    sides = {"case_00001": "train", "case_00002": "validation", "case_00003": "train"}
    check_leaks(sides, patients={"case_00001": "a", "case_00003": "a"}, images={"case_00002": "x"})
    with pytest.raises(
        KitsError, match=r"share no patient, got the same one in case_00001 \(train\), case_00002 \(val"
    ):
        check_leaks(sides, patients={"case_00001": "a", "case_00002": "a"}, images={})
    with pytest.raises(KitsError, match=r"share no image, got the same one in case_00002 \(validation\), case_00003"):
        check_leaks(sides, patients={}, images={"case_00002": "x", "case_00003": "x"})


def test_what_a_split_is_stratified_by_is_what_its_strata_differ_in():
    everything = ("tumour-volume tercile", "contrast phase", "cyst presence")
    facts = _facts(120)
    assert stratified_by(make_split(facts, validation=0.2, folds=None, seed=1).strata.values()) == everything
    unknown = {name: replace(fact, phase=None) for name, fact in facts.items()}
    strata = make_split(unknown, validation=0.2, folds=None, seed=1).strata.values()
    assert stratified_by(strata) == ("tumour-volume tercile", "cyst presence")
    few = make_split(_facts(4), validation=0.25, folds=None, seed=1)
    assert stratified_by(few.strata.values()) == ()
    assert stratified_by(["other", "tumour small · phase unknown · cyst"]) == ("tumour-volume tercile", "cyst presence")
    assert stratified_by(["tumour small · arterial · cyst", "tumour large · arterial · cyst"]) == everything[:1]
