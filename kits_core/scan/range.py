"""Is a scan unlike the model's training cases? Reasons in words, feature by feature."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from kits_core.geometry.volume import Volume
from kits_core.scan.features import FEATURES, KIDNEY_MEDIAN

_FEW_CASES = 50
"""With fewer cases, the 1st percentile would depend on one or two cases only."""
_WIDENED_BY = 0.1
_UNENHANCED_BELOW_HU = 70
"""Kidneys have 30 to 40 HU without contrast and over 100 in every phase with it; halfway between."""
_FACES = {
    "R": ("left", "right"), "L": ("right", "left"), "A": ("back", "front"), "P": ("front", "back"),
    "S": ("foot", "head"), "I": ("head", "foot"),
}  # fmt: skip
"""First and last face along an axis that points there."""


@dataclass(frozen=True)
class Range:
    """The range of a feature in `cases` training cases, `low` to `high`. Values beyond `margin` are flagged."""

    low: float
    high: float
    margin: float
    cases: int

    def holds(self, value: float) -> bool:
        """Whether a value is inside, or outside by no more than the margin."""
        return self.low - self.margin <= value <= self.high + self.margin


@dataclass(frozen=True)
class Reference:
    """The features of the training cases: `values` by feature, one for each case that has it, ascending."""

    values: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, cases: Iterable[Mapping[str, float]]) -> Self:
        """From what `describe` says of each training case."""
        found: dict[str, list[float]] = {name: [] for name in FEATURES}
        for case in cases:
            for name, value in case.items():
                found[name].append(float(value))
        return cls({name: tuple(sorted(values)) for name, values in found.items() if values})

    def range_of(self, name: str) -> Range | None:
        """The training range of a feature; None where no case has it.

        From 50 cases on, the 1st to the 99th percentile; with fewer, the smallest to the largest. The margin is a tenth
        of that width, and at least the feature's own, so that cases from one scanner do not make all others strange.
        """
        values = self.values.get(name, ())
        if not values:
            return None
        ends = (0, 100) if len(values) < _FEW_CASES else (1, 99)
        low, high = (float(v) for v in np.percentile(values, ends))
        return Range(low, high, max(FEATURES[name].margin, _WIDENED_BY * (high - low)), len(values))

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes the same reference again."""
        return {name: list(values) for name, values in self.values.items()}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """The reference that `to_json` wrote; features that this version does not know are left out."""
        return cls({name: tuple(float(v) for v in values) for name, values in record.items() if name in FEATURES})


@dataclass(frozen=True)
class Flag:
    """One reason to doubt a prediction. `code`: a feature's name, `contrast_phase`, `kidney_cut` or `no_kidney`."""

    code: str
    message: str
    got: str
    expected: str


def flags(
    described: Mapping[str, float], reference: Reference, volume: Volume, labels: NDArray[np.uint8]
) -> tuple[Flag, ...]:
    """Differences from the training cases, and problems of the labels; empty where there are none.

    `described`: of `describe(volume, labels)`. A feature that no training case has is not compared.
    """
    found = [] if KIDNEY_MEDIAN in described else [_no_kidney()]
    for name, value in described.items():
        known = reference.range_of(name)
        if known is not None and not known.holds(value):
            found.append(_contrast(value, known) if name == KIDNEY_MEDIAN else _outside(name, value, known))
    cut = list(_edges(volume, labels))
    if cut:
        sides = ", ".join(f"{side} ({mm2:.0f} mm²)" for side, mm2 in cut)
        message = f"the segmentation reaches the edge of the scan: {sides}; a kidney or mass may be cut off there"
        found.append(Flag("kidney_cut", message, sides, "no label on the scan's outermost voxels"))
    return tuple(found)


def _no_kidney() -> Flag:
    return Flag("no_kidney", "no kidney was found in the scan", "0 voxels of kidney", "at least one kidney")


def _outside(name: str, value: float, known: Range) -> Flag:
    feature, expected = FEATURES[name], _expected(name, known)
    message = f"{feature.words} {feature.text(value)}; {_cases(known)} had {expected}"
    return Flag(name, message, feature.text(value), expected)


def _contrast(value: float, known: Range) -> Flag:
    feature, expected = FEATURES[KIDNEY_MEDIAN], _expected(KIDNEY_MEDIAN, known)
    if value < known.low:
        phase = "as without contrast" if value < _UNENHANCED_BELOW_HU else "as in a phase with less contrast"
    else:
        phase = "as in a phase with more contrast"
    message = (
        f"the kidneys' median is {feature.text(value)}, {phase}; {_cases(known)} had {expected} "
        "(an estimate from the kidneys that the model found)"
    )
    return Flag("contrast_phase", message, feature.text(value), expected)


def _expected(name: str, known: Range) -> str:
    feature = FEATURES[name]
    return f"{feature.number(known.low)} to {feature.text(known.high)}"


def _cases(known: Range) -> str:
    if known.cases == 1:
        return "the 1 training case"
    return (
        f"the {known.cases} training cases" if known.cases < _FEW_CASES else f"98 % of the {known.cases} training cases"
    )


def _edges(volume: Volume, labels: NDArray[np.uint8]) -> Iterator[tuple[str, float]]:
    """The sides of the scan that labels touch, and over what area in mm²."""
    spacing = np.array(volume.spacing_mm)
    for axis, code in enumerate(nib.aff2axcodes(volume.affine)):
        area = float(np.prod(np.delete(spacing, axis)))
        for end, side in zip((0, -1), _FACES[code], strict=True):
            touched = int(np.count_nonzero(np.moveaxis(labels, axis, 0)[end]))
            if touched:
                yield side, touched * area
