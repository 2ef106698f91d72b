"""The R.E.N.A.L. nephrometry score, as far as a mask supports it. Kutikov & Uzzo 2009, doi:10.1016/j.juro.2009.05.035.

Each of R, E, N and L gives 1 to 3 points; 4 to 6 in all is called low, 7 to 9 moderate, 10 to 12 high complexity. The
letter a, p or x says anterior, posterior or neither. A mask knows neither the collecting system nor the vessels: N is
taken from the estimated sinus, and the suffix h (at the main renal artery or vein) stays unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_MOSTLY = 0.6  # the score's "primarily" has no number; between 40 and 60 % in front is called neither


@dataclass(frozen=True)
class Component:
    """A letter of the score: its points, None where unknown, and the value that they stand for, in words."""

    letter: str
    points: int | None
    because: str


@dataclass(frozen=True)
class RenalScore:
    """The score of a tumour. `face`: a, p, x, or None. `total` is None unless all four letters are known."""

    components: tuple[Component, ...]
    face: str | None
    hilar: None = None

    @property
    def total(self) -> int | None:
        """The sum of points."""
        points = [component.points for component in self.components]
        return sum(p for p in points if p is not None) if None not in points else None

    @property
    def complexity(self) -> str | None:
        """Low, moderate or high."""
        if self.total is None:
            return None
        return "low" if self.total <= 6 else "moderate" if self.total <= 9 else "high"

    def __str__(self) -> str:
        """As it is written in a chart, as `7p`, with what is unknown as `?`."""
        return f"{self.total if self.total is not None else '?'}{self.face or '?'}"


def renal_score(values: Mapping[str, float | None]) -> RenalScore:
    """The score from a tumour's measurements by name."""
    components = (_radius(values), _exophytic(values), _nearness(values), _location(values))
    return RenalScore(components, _face(values["anterior_fraction"]))


def _radius(values: Mapping[str, float | None]) -> Component:
    cm = (values["diameter_mm"] or 0.0) / 10
    points = 1 if cm <= 4 else 2 if cm < 7 else 3
    return Component("R", points, f"largest diameter {cm:.1f} cm")


def _exophytic(values: Mapping[str, float | None]) -> Component:
    share = values["exophytic_fraction"]
    if share is None:
        return Component("E", None, "unknown without a kidney beside it")
    points = 1 if share >= 0.5 else 2 if share >= 0.01 else 3  # below a hundredth it is an effect of the voxels
    return Component("E", points, f"{share:.0%} exophytic")


def _nearness(values: Mapping[str, float | None]) -> Component:
    mm = values["sinus_distance_mm"]
    if mm is None:
        return Component("N", None, "unknown without a sinus")
    points = 1 if mm >= 7 else 2 if mm > 4 else 3
    return Component("N", points, f"{mm:.1f} mm from the estimated sinus; the collecting system is not in the mask")


def _location(values: Mapping[str, float | None]) -> Component:
    above, below, across = values["above_fraction"], values["below_fraction"], values["across_middle_fraction"]
    if above is None or below is None:
        return Component("L", None, "polar lines unknown without a sinus")
    outside = max(above, below)
    if outside >= 0.99:
        points = 1
    elif (across or 0.0) >= 0.01 or outside <= 0.5:
        points = 3
    else:
        points = 2
    return Component(
        "L", points, f"{above:.0%} above, {below:.0%} below the estimated polar lines, {across:.0%} across the middle"
    )


def _face(anterior: float | None) -> str | None:
    if anterior is None:
        return None
    return "a" if anterior >= _MOSTLY else "p" if anterior <= 1 - _MOSTLY else "x"
