"""A stratified split of cases, the same on every machine."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kits_core.errors import KitsError

OTHER = "other"
"""The stratum of mixed cases."""
_PROPERTIES = ("tumour-volume tercile", "contrast phase", "cyst presence")
_BETWEEN, _PHASE_UNKNOWN = " · ", "phase unknown"


@dataclass(frozen=True)
class StratumFacts:
    """The properties that stratify a case, and its patient; None where unknown."""

    tumor_ml: float
    phase: str | None
    has_cyst: bool
    patient: str | None = None


@dataclass(frozen=True)
class Split:
    """Case names by subset, both sorted; the stratum and, with cross-validation, the fold of every case."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    strata: Mapping[str, str]
    folds: Mapping[str, int]


def make_split(facts: Mapping[str, StratumFacts], *, validation: float, folds: int | None, seed: int) -> Split:
    """Split cases over tumour-volume tercile x phase x cyst presence.

    The validation side gets `round(validation * n)` of n patients; a case of unknown patient counts as one. All cases
    of a patient go where the first one goes. A stratum with fewer cases than the split can share out (2, or `folds`)
    joins the one called `other`; should that still be too small, it joins the largest stratum.
    Raises `KitsError` where a side would be empty.
    """
    cases_of: dict[str, list[str]] = defaultdict(list)
    for name in sorted(facts):
        cases_of[f"patient {facts[name].patient}" if facts[name].patient else name].append(name)
    names = [cases[0] for cases in cases_of.values()]
    held_out = round(validation * len(names))
    if held_out < 1 or held_out >= len(names):
        raise KitsError(
            f"a split of {len(names)} patients: expected at least one on each side, got {held_out} for validation "
            f"at a share of {validation}; ingest more cases or change the share"
        )
    strata = strata_of([facts[name] for name in names], smallest=max(2, folds or 0))
    if not _can_be_drawn(strata, held_out):
        strata = [OTHER] * len(names)
    test = draw(names, strata, held_out, seed)
    train = [i for i in range(len(names)) if i not in test]
    stratum_of = dict(zip(names, strata, strict=True))
    fold_of = _folds(names, strata, folds, seed) if folds else {}
    together = {cases[0]: cases for cases in cases_of.values()}
    return Split(
        train=tuple(sorted(case for i in train for case in together[names[i]])),
        validation=tuple(sorted(case for i in test for case in together[names[i]])),
        strata={case: stratum_of[first] for first, cases in together.items() for case in cases},
        folds={case: fold_of[first] for first, cases in together.items() for case in cases} if folds else {},
    )


def draw(names: Sequence[str], strata: Sequence[str], held_out: int, seed: int) -> set[int]:
    """Places of `held_out` of the names, from 1 to all but one of them, drawn from all strata alike.

    Drawn without strata where there are too many to share out, or too few names in one.
    """
    from sklearn.model_selection import StratifiedShuffleSplit  # noqa: PLC0415 - over a second

    shuffle = StratifiedShuffleSplit(n_splits=1, test_size=held_out, random_state=seed)
    _, test = next(shuffle.split(names, strata if _can_be_drawn(strata, held_out) else [OTHER] * len(names)))
    return set(test.tolist())


def _can_be_drawn(strata: Sequence[str], held_out: int) -> bool:
    counts = Counter(strata)
    return len(counts) <= min(held_out, len(strata) - held_out) and min(counts.values()) > 1


def stratified_by(strata: Iterable[str]) -> tuple[str, ...]:
    """The properties in which the strata of a split differ, in words; none where all cases are one stratum.

    `strata`: their names, as in `Split.strata`. Beside the stratum `other`, which is of mixed cases, a property counts
    that is known of the rest.
    """
    names = set(strata)
    values = list(zip(*(name.split(_BETWEEN) for name in names - {OTHER}), strict=True))
    return tuple(
        title
        for title, found in zip(_PROPERTIES, values, strict=False)
        if len(set(found)) > 1 or (OTHER in names and found[0] != _PHASE_UNKNOWN)
    )


def check_leaks(sides: Mapping[str, str], *, patients: Mapping[str, str | None], images: Mapping[str, str]) -> None:
    """Raise `KitsError` where a patient, or an image of the same SHA-256, stands on both sides.

    `sides`: subset by case; `patients`: the patient by case, None where unknown; `images`: the image's hash by case.
    """
    for what, known in (("patient", patients), ("image", images)):
        cases_of: dict[str, list[str]] = defaultdict(list)
        for case in sorted(sides):
            if (value := known.get(case)) is not None:
                cases_of[value].append(case)
        leaks = [cases for cases in cases_of.values() if len({sides[case] for case in cases}) > 1]
        if leaks:
            found = "; ".join(", ".join(f"{case} ({sides[case]})" for case in cases) for cases in leaks[:3])
            raise KitsError(
                f"expected training and validation to share no {what}, got the same one in {found}; run kits split "
                "again, or take all but one of them out of the source"
            )


def split_hash(facts: Mapping[str, StratumFacts], *, validation: float, folds: int | None, seed: int) -> str:
    """16 hexadecimal digits that name a split: the same cases, facts and settings give the same."""
    rows = [(n, round(f.tumor_ml, 3), f.phase, f.has_cyst, f.patient) for n, f in sorted(facts.items())]
    return hashlib.sha256(json.dumps([rows, validation, folds, seed]).encode()).hexdigest()[:16]


def strata_of(facts: Sequence[StratumFacts], smallest: int) -> list[str]:
    """The stratum of each: terciles are those of all of them; a stratum of fewer than `smallest` joins `other`."""
    terciles = np.quantile([fact.tumor_ml for fact in facts], [1 / 3, 2 / 3])
    names = [
        _BETWEEN.join(
            (
                f"tumour {('small', 'medium', 'large')[int(np.searchsorted(terciles, fact.tumor_ml))]}",
                fact.phase or _PHASE_UNKNOWN,
                "cyst" if fact.has_cyst else "no cyst",
            )
        )
        for fact in facts
    ]
    counts = Counter(names)
    names = [name if counts[name] >= smallest else OTHER for name in names]
    counts = Counter(names)
    if 0 < counts[OTHER] < smallest and len(counts) > 1:
        largest = max((name for name in counts if name != OTHER), key=lambda name: (counts[name], name))
        names = [largest if name == OTHER else name for name in names]
    return names


def _folds(names: Sequence[str], strata: Sequence[str], folds: int, seed: int) -> dict[str, int]:
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415 - over a second

    parts = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed).split(names, strata)
    return {names[i]: fold for fold, (_, test) in enumerate(parts) for i in test}
