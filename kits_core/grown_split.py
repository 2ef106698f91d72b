"""A split that takes in new cases and leaves all others where they are, so that what was held out stays held out."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kits_core.own_folds import OWN
from kits_core.split import OTHER, Split, StratumFacts, draw, strata_of


@dataclass(frozen=True)
class _Place:
    subset: str
    fold: int | None


def grow_split(kept: Split, facts: Mapping[str, StratumFacts], *, validation: float, seed: int) -> Split:
    """The split `kept` with the cases of `facts` that it does not have; its cases that `facts` does not have are gone.

    A new case of a patient that `kept` knows goes where that patient is. Of the other new patients as many are held out
    as bring the validation side up to `round(validation * n)` of all n patients, none if it has them already; they are
    drawn by the seed, stratified as in `make_split`. With folds, new patients fill up the smallest ones.
    """
    places = {
        name: _Place(subset, kept.folds.get(name))
        for subset, names in (("train", kept.train), ("validation", kept.validation))
        for name in names
        if name in facts
    }
    place_of = {_patient(name, facts): place for name, place in places.items()}
    new: dict[str, list[str]] = defaultdict(list)
    for name in sorted(facts.keys() - places.keys()):
        new[_patient(name, facts)].append(name)
    unknown = [patient for patient in new if patient not in place_of]
    there = Counter(place.subset for place in place_of.values())
    wanted = round(validation * (len(place_of) + len(unknown))) - there["validation"]
    held_out = _held_out([(patient, facts[new[patient][0]]) for patient in unknown], wanted, seed)
    folds = _smallest_first(unknown, kept, seed)
    for patient in unknown:
        place_of[patient] = _Place("validation" if patient in held_out else "train", folds.get(patient))
    places |= {name: place_of[patient] for patient, names in new.items() for name in names}
    return Split(
        train=tuple(sorted(name for name, place in places.items() if place.subset == "train")),
        validation=tuple(sorted(name for name, place in places.items() if place.subset == "validation")),
        strata=_strata(kept, facts),
        folds={name: place.fold for name, place in places.items() if place.fold is not None},
    )


def _patient(name: str, facts: Mapping[str, StratumFacts]) -> str:
    """What tells patients apart; a case of unknown patient counts as one."""
    patient = facts[name].patient
    return f"case {name}" if patient is None else f"patient {patient}"


def _held_out(patients: list[tuple[str, StratumFacts]], wanted: int, seed: int) -> set[str]:
    """Those of the new patients that are held out, `wanted` of them at most."""
    names = [patient for patient, _ in patients]
    if wanted <= 0 or wanted >= len(names):
        return set(names if wanted > 0 else ())
    return {names[i] for i in draw(names, strata_of([facts for _, facts in patients], smallest=2), wanted, seed)}


def _smallest_first(patients: list[str], kept: Split, seed: int) -> dict[str, int]:
    sizes = Counter(kept.folds.values())
    folds: dict[str, int] = {}
    for index in np.random.default_rng(seed).permutation(len(patients)) if sizes else ():
        fold = min(sizes, key=lambda number: (sizes[number], number))
        folds[patients[index]] = fold
        sizes[fold] += 1
    return folds


def _strata(kept: Split, facts: Mapping[str, StratumFacts]) -> dict[str, str]:
    """The kept ones stay; a new case has the one that it belongs to where the split has it already, or `other`."""
    names = sorted(facts)
    own = set(kept.strata.values()) == {OWN}
    among_all = dict(zip(names, strata_of([facts[name] for name in names], smallest=1), strict=True))
    known = set(kept.strata.values())
    return {
        name: kept.strata.get(name, OWN if own else among_all[name] if among_all[name] in known else OTHER)
        for name in names
    }
