"""From the names that people give to structures to the labels of KiTS."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kits_core.errors import CaseError, KitsError
from kits_core.labels import Label

ALL_OTHERS = "*"
"""In a map, this name stands for every name that neither the map nor the usual names have."""
_WORDS = "|".join(label.name.lower() for label in (Label.KIDNEY, Label.TUMOR, Label.CYST, Label.BACKGROUND))
HOW_TO_MAP = f'say what each is with --label "NAME={_WORDS}"; --label "{ALL_OTHERS}=background" leaves out the rest'

_BETWEEN = re.compile(r"[\s_-]+")
_USUAL: dict[Label, tuple[str, ...]] = {
    Label.BACKGROUND: ("background",),
    Label.KIDNEY: (
        *("kidney", "kidneys", "left kidney", "right kidney", "kidney left", "kidney right"),
        *("both kidneys", "left kidneys", "right kidneys"),
    ),
    Label.TUMOR: (
        *("tumor", "tumour", "tumors", "tumours", "kidney tumor", "kidney tumour", "renal tumor", "renal tumour"),
        *("kidney tumors", "kidney tumours", "renal tumors", "renal tumours"),
    ),
    Label.CYST: (
        *("cyst", "cysts", "kidney cyst", "kidney cysts", "renal cyst", "renal cysts"),
        *("kidney cyst left", "kidney cyst right", "left kidney cyst", "right kidney cyst"),
    ),
}
"""Names with one meaning only. "Mass" is not here: in KiTS a mass is a tumour or a cyst."""
_LABEL_OF_USUAL = {name: label for label, names in _USUAL.items() for name in names}


@dataclass(frozen=True)
class LabelMap:
    """What each name means. Without `entries` it knows the usual names alone, such as "Left Kidney" and "tumour".

    Names are compared without regard to case and to spaces around them; a run of spaces, hyphens and underscores
    inside counts as one space. `entries`: pairs of such a name and its label, sorted, which come before the usual
    names. Make a map with `of` or `parse`; the same names and labels make equal maps with equal hashes.
    """

    entries: tuple[tuple[str, Label], ...] = ()

    @classmethod
    def of(cls, labels: Mapping[str, Label | str]) -> Self:
        """The map of names to labels, or to words for them (`kidney`, `tumor`, `tumour`, `cyst`, `background`).

        Raises `KitsError` for an empty name, a word that is no label, and one name with two labels.
        """
        return cls._of_pairs(labels.items())

    @classmethod
    def parse(cls, options: Iterable[str]) -> Self:
        """The map that `NAME=LABEL` options give. A name may hold `=`; the last one counts. Raises as `of`."""
        pairs = []
        for option in options:
            name, equals, word = option.rpartition("=")
            if not equals:
                raise KitsError(
                    f"{option}: expected NAME={_WORDS}, got no '='; write for example --label 'ROI 1=kidney'"
                )
            pairs.append((name, word))
        return cls._of_pairs(pairs)

    @classmethod
    def _of_pairs(cls, pairs: Iterable[tuple[str, Label | str]]) -> Self:
        found: dict[str, Label] = {}
        for name, given in pairs:
            label, key = _label(name, given), _key(name)
            if not key:
                raise KitsError(f"label map: expected a name for {label.name.lower()}, got none; {HOW_TO_MAP}")
            if found.setdefault(key, label) != label:
                both = f"{found[key].name.lower()} and {label.name.lower()}"
                raise KitsError(f"label map: expected one label for {name!r}, got {both}; give it once")
        return cls(tuple(sorted(found.items())))

    def knows(self, name: str) -> bool:
        """Whether `label_of` has an answer."""
        return self._find(name) is not None

    def label_of(self, name: str) -> Label:
        """What a name means. Raises `KitsError` for a name that means nothing here."""
        label = self._find(name)
        if label is None:
            raise KitsError(f"label map: expected a name with a known meaning, got {name!r}; {HOW_TO_MAP}")
        return label

    def labels_of(self, case: str, names: Iterable[str]) -> dict[str, Label]:
        """What each of several names means. Raises one `CaseError` that lists all that mean nothing here."""
        all_names = list(dict.fromkeys(names))
        if unknown := [name for name in all_names if not self.knows(name)]:
            known = [name for name in all_names if self.knows(name)]
            got = ", ".join(map(repr, unknown)) + (f" (understood: {', '.join(map(repr, known))})" if known else "")
            raise CaseError(
                case, expected="names of structures with a known meaning", got=f"also {got}", next_step=HOW_TO_MAP
            )
        return {name: self.label_of(name) for name in all_names}

    def of_values(self, case: str, names: Mapping[int, str]) -> dict[int, Label]:
        """The label of each voxel value, from the value's name; what `relabel` takes. Raises as `labels_of`."""
        labels = self.labels_of(case, names.values())
        return {value: labels[name] for value, name in names.items()}

    def _find(self, name: str) -> Label | None:
        mine, key = dict(self.entries), _key(name)
        return mine.get(key, _LABEL_OF_USUAL.get(key, mine.get(ALL_OTHERS)))


def read_label_map(file: Path) -> dict[str, str]:
    """The words of a YAML file with a line `name: label` each, as `words_of` gives them.

    Raises `KitsError` for another file, and as `LabelMap.of`.
    """
    import yaml  # noqa: PLC0415 - which options need not wait for

    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        got = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise KitsError(f"{file}: expected lines NAME: {_WORDS}, got {got}; correct the file") from error
    if not isinstance(found, dict) or not all(isinstance(word, str) for word in found.values()):
        raise KitsError(f"{file}: expected lines NAME: {_WORDS}, got another content; correct the file")
    return {name: label.name.lower() for name, label in LabelMap.of({str(k): v for k, v in found.items()}).entries}


def words_of(options: Iterable[str]) -> dict[str, str]:
    """The word for a label by name, of `NAME=LABEL` options. Raises as `LabelMap.parse`."""
    return {name: label.name.lower() for name, label in LabelMap.parse(options).entries}


def relabel(case: str, values: NDArray[Any], lookup: Mapping[int, Label]) -> NDArray[np.uint8]:
    """Voxel values, whole numbers of any shape and dtype, as labels: uint8 of the same shape and memory order.

    0 is background where `lookup` does not say otherwise. Raises `CaseError` that lists values without a label.
    """
    result = np.full_like(values, lookup.get(0, Label.BACKGROUND), dtype=np.uint8)
    unknown = []
    for value in np.unique(values[values != 0]).tolist():  # few of a scan's voxels are not 0
        if value in lookup:
            result[values == value] = lookup[value]
        else:
            unknown.append(f"{value:g}")
    if unknown:
        named = ", ".join(map(str, sorted(lookup))) or "none"
        raise CaseError(
            case,
            expected=f"voxel values that have a name ({named})",
            got=f"also {', '.join(unknown)}",
            next_step="name them where the file's labels are listed, or correct the file",
        )
    return result


def _key(name: str) -> str:
    return _BETWEEN.sub(" ", name).strip().casefold()


def _label(name: str, given: Label | str) -> Label:
    if isinstance(given, Label):
        return given
    word = given.strip().casefold()
    for label in Label:
        if word == label.name.lower() or (word, label) == ("tumour", Label.TUMOR):
            return label
    raise KitsError(f"label map: expected {_WORDS} for {name!r}, got {given!r}; {HOW_TO_MAP}")
