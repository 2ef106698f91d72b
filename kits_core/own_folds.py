"""Folds and sides that somebody else has chosen: nnU-Net's `splits_final.json`, or a table of cases."""

import csv
import hashlib
import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kits_core.errors import KitsError
from kits_core.source.text import decode
from kits_core.split import Split
from kits_core.text import listed

OWN = "own"
"""The stratum of every case of a split that was not made here."""
_SHAPES = (
    'nnU-Net\'s splits_final.json ([{"train": [...], "val": [...]}, ...]), or a CSV with the columns case and fold '
    "(0, 1, ...), or case and subset (train, validation)"
)
_SUBSETS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}


@dataclass(frozen=True)
class OwnFolds:
    """The content of a file. `held_out`: for each fold, the cases that it holds out. One fold: a split in two sides."""

    train: frozenset[str]
    held_out: tuple[frozenset[str], ...]

    @property
    def cases(self) -> frozenset[str]:
        """All that are named."""
        return self.train.union(*self.held_out)


def read_folds(file: Path) -> OwnFolds:
    """The folds in a file, see `_SHAPES`. Raises `KitsError` for other files and for a case in two places."""
    try:
        text = decode(file.read_bytes(), strict=True)
    except OSError as error:
        raise KitsError(f"{file}: expected {_SHAPES}, got {error.strerror}; name a file that can be read") from error
    except ValueError as error:
        raise KitsError(f"{file}: expected {_SHAPES}, got no text in UTF-8 or UTF-16; save it as such") from error
    return _of_json(file, text) if text.lstrip()[:1] in ("[", "{") else _of_table(file, text)


def check_cases(file: Path, folds: OwnFolds, have: Iterable[str]) -> None:
    """Raise `KitsError` for cases in the file that the dataset does not have."""
    if unknown := sorted(folds.cases - set(have)):
        raise KitsError(
            f"{file}: expected cases that the dataset has with a reference, got {listed(unknown)}; correct the names, "
            "or ingest these cases"
        )


def as_split(folds: OwnFolds) -> Split:
    """The folds as a split. Of several folds, the first one's cases are the validation side."""
    validation = folds.held_out[0]
    return Split(
        train=tuple(sorted(folds.cases - validation)),
        validation=tuple(sorted(validation)),
        strata=dict.fromkeys(sorted(folds.cases), OWN),
        folds=fold_of(folds),
    )


def fold_of(folds: OwnFolds) -> dict[str, int]:
    """The fold that holds out each case; empty for a single split."""
    if len(folds.held_out) == 1:
        return {}
    return {case: number for number, cases in enumerate(folds.held_out) for case in sorted(cases)}


def own_hash(plan: Split) -> str:
    """16 hexadecimal digits that name such a split: the same cases on the same sides give the same digits."""
    named = json.dumps([OWN, plan.train, plan.validation, sorted(plan.folds.items())])
    return hashlib.sha256(named.encode()).hexdigest()[:16]


def _of_json(file: Path, text: str) -> OwnFolds:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise KitsError(f"{file}: expected {_SHAPES}, got JSON that cannot be read ({error}); correct it") from error
    if not isinstance(entries, list) or not entries or not all(map(_is_entry, entries)):
        raise KitsError(f"{file}: expected {_SHAPES}, got other JSON; correct it")
    sides = [(entry["train"], entry["val"]) for entry in entries]
    for number, (train, held_out) in enumerate(sides):
        _refuse_repeated(file, [*train, *held_out], f"on one side of fold {number}")
    folds = OwnFolds(frozenset(sides[0][0]) if len(sides) == 1 else frozenset(), tuple(frozenset(v) for _, v in sides))
    _check(file, folds)
    if len(sides) > 1:
        for number, (train, held_out) in enumerate(sides):
            if apart := sorted(folds.cases - set(held_out) ^ set(train)):
                raise KitsError(
                    f"{file}: expected fold {number} to train on all that the others hold out, got a difference in "
                    f"{listed(apart)}; correct the file"
                )
    return folds


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and all(
        isinstance(entry.get(side), list) and all(isinstance(case, str) for case in entry[side])
        for side in ("train", "val")
    )


def _of_table(file: Path, text: str) -> OwnFolds:
    try:
        dialect: Any = csv.Sniffer().sniff(text.splitlines()[0], delimiters=",;\t")
    except (csv.Error, IndexError):
        dialect = csv.excel
    rows = list(csv.DictReader(io.StringIO(text), dialect=dialect))
    columns = {name.strip().casefold(): name for name in (rows[0] if rows else {}) if isinstance(name, str)}
    by = next((column for column in ("fold", "subset") if column in columns), None)
    if "case" not in columns or by is None:
        raise KitsError(f"{file}: expected {_SHAPES}, got the columns {', '.join(columns) or 'none'}; correct it")
    pairs = [((row[columns["case"]] or "").strip(), (row[columns[by]] or "").strip()) for row in rows]
    _refuse_repeated(file, [case for case, _ in pairs], "in one row")
    folds = _sides(file, pairs) if by == "subset" else _numbered(file, pairs)
    _check(file, folds)
    return folds


def _sides(file: Path, pairs: list[tuple[str, str]]) -> OwnFolds:
    found: dict[str, set[str]] = defaultdict(set)
    for case, word in pairs:
        if word.casefold() not in _SUBSETS:
            raise KitsError(f"{file}: expected train or validation for {case}, got {word!r}; correct the row")
        found[_SUBSETS[word.casefold()]].add(case)
    return OwnFolds(frozenset(found["train"]), (frozenset(found["validation"]),))


def _numbered(file: Path, pairs: list[tuple[str, str]]) -> OwnFolds:
    found: dict[int, set[str]] = defaultdict(set)
    for case, number in pairs:
        if not number.isdecimal():
            raise KitsError(f"{file}: expected a fold 0, 1, ... for {case}, got {number!r}; correct the row")
        found[int(number)].add(case)
    if sorted(found) != list(range(len(found))) or len(found) == 1:
        got = listed(map(str, sorted(found)))
        raise KitsError(
            f"{file}: expected at least two folds, numbered from 0 without gaps, got {got}; correct the numbers"
        )
    return OwnFolds(frozenset(), tuple(frozenset(found[number]) for number in sorted(found)))


def _check(file: Path, folds: OwnFolds) -> None:
    _refuse_repeated(file, [case for cases in folds.held_out for case in cases], "held out once")
    if "" in folds.cases:
        raise KitsError(f"{file}: expected a case's name in every place, got an empty one; correct it")
    if not all(folds.held_out) or folds.cases == folds.held_out[0]:
        raise KitsError(f"{file}: expected a case on each side of every fold, got none on one; correct it")


def _refuse_repeated(file: Path, cases: list[str], where: str) -> None:
    if repeated := sorted(case for case, count in Counter(cases).items() if count > 1):
        raise KitsError(f"{file}: expected each case {where}, got these twice: {listed(repeated)}; correct the file")
