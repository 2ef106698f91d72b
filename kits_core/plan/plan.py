"""A plan: everything that a label map says about kidneys and tumours."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from kits_core.errors import CaseError
from kits_core.geometry import Volume
from kits_core.plan.anatomy import Anatomy, Side, find_anatomy
from kits_core.plan.measure import Line, MeasuredTumor, Surroundings, measure_kidney, measure_tumor, surroundings
from kits_core.plan.measurement import MEASUREMENTS, Row, Value
from kits_core.plan.renal import RenalScore, renal_score

FRAME = "DICOM patient coordinates in mm: x to the patient's left, y to the back, z to the head (LPS)"
NO_KIDNEY = "no_kidney"
"""The structure of what lies beside no kidney, in `plan.json` and in the catalog."""
_LEAST_TISSUE_ML, _LONGEST_MM = 40.0, 200.0

NOTICE = "Research only. Not a medical device; not for diagnosis or treatment."


@dataclass(frozen=True, eq=False)
class PlannedTumor:
    """A tumour with its score."""

    measured: MeasuredTumor
    renal: RenalScore

    @property
    def name(self) -> str:
        """As files, `plan.json` and the catalog call it."""
        return f"tumor_{self.measured.number}"


@dataclass(frozen=True, eq=False)
class PlannedKidney:
    """A kidney with its measurements, and its tumours, the largest first; or what lies beside none (`Kidney`)."""

    around: Surroundings
    values: tuple[Value, ...]
    tumors: tuple[PlannedTumor, ...]

    @property
    def side(self) -> Side:
        """Left, right, fused, or none."""
        return self.around.kidney.side

    @property
    def name(self) -> str:
        """As files, `plan.json` and the catalog call it."""
        return NO_KIDNEY if self.side == "none" else f"kidney_{self.side}"

    @property
    def side_title(self) -> str:
        """The side for people."""
        return "no side" if self.side == "none" else self.side

    @property
    def title(self) -> str:
        """For people."""
        return "no kidney beside it" if self.side == "none" else f"{self.side} kidney"

    @property
    def by_name(self) -> dict[str, float | None]:
        """Every value by its name."""
        return {value.name: value.value for value in self.values}


@dataclass(frozen=True, eq=False)
class Plan:
    """The kidneys, the left first, and what a reader must know of the whole."""

    anatomy: Anatomy
    kidneys: tuple[PlannedKidney, ...]

    @property
    def tumors(self) -> list[tuple[PlannedKidney, PlannedTumor]]:
        """Every tumour with its kidney, the largest first."""
        pairs = [(kidney, tumor) for kidney in self.kidneys for tumor in kidney.tumors]
        return sorted(pairs, key=lambda pair: pair[1].measured.number)

    @property
    def doubts(self) -> list[str]:
        """Sizes that no kidney has, so that the segmentation is probably wrong there."""
        found = []
        for kidney in self.kidneys:
            if kidney.side == "none":
                continue
            tissue_ml, length_mm = kidney.by_name["parenchyma_ml"], kidney.by_name["length_mm"]
            if tissue_ml is not None and tissue_ml < _LEAST_TISSUE_ML:
                found.append(f"the {kidney.side} kidney has {tissue_ml:.0f} ml of tissue; most have over 100 ml")
            if length_mm is not None and length_mm > _LONGEST_MM and kidney.side != "fused":
                found.append(f"the {kidney.side} kidney is {length_mm:.0f} mm long; most have 90 to 130 mm")
        return found

    def rows(self) -> Iterator[Row]:
        """Every value, the points of the R.E.N.A.L. score among them."""
        for kidney in self.kidneys:
            for value in kidney.values:
                yield Row(kidney.name, kidney.side, value.name, value.value)
        for kidney, tumor in self.tumors:
            for value in tumor.measured.values:
                yield Row(tumor.name, kidney.side, value.name, value.value)
            for component in tumor.renal.components:
                yield Row(tumor.name, kidney.side, f"renal_{component.letter.lower()}", component.points)
            yield Row(tumor.name, kidney.side, "renal_total", tumor.renal.total)

    def to_json(self) -> dict[str, Any]:
        """As `plan.json` has it; lines lie in patient millimetres."""
        return {
            "notice": NOTICE,
            "frame": FRAME,
            "remarks": list(self.anatomy.remarks),
            "kidneys": [
                {"name": kidney.name, "side": kidney.side, "values": _values(kidney.values)} for kidney in self.kidneys
            ],
            "tumors": [_tumor(kidney, tumor) for kidney, tumor in self.tumors],
            "definitions": {
                m.name: {"title": m.title, "unit": m.unit, "definition": m.definition} for m in MEASUREMENTS
            },
        }


def make_plan(case: str, labels: Volume, image: Volume | None = None) -> Plan:
    """Measure a label map (uint8, values of `Label`); `image` as in `find_anatomy`.

    Raises `CaseError` where nothing is labelled.
    """
    anatomy = find_anatomy(labels, image)
    if anatomy is None:
        raise CaseError(
            case,
            expected="a kidney in the segmentation",
            got="nothing labelled",
            next_step="check that the scan shows the kidneys, in Hounsfield units",
        )
    kidneys = []
    for kidney in anatomy.kidneys:
        around = surroundings(kidney)
        measured = [measure_tumor(tumor, around) for tumor in kidney.tumors]
        tumors = tuple(PlannedTumor(m, renal_score(m.by_name)) for m in measured)
        kidneys.append(PlannedKidney(around, measure_kidney(around), tumors))
    return Plan(anatomy, tuple(kidneys))


def _tumor(kidney: PlannedKidney, tumor: PlannedTumor) -> dict[str, Any]:
    renal = tumor.renal
    return {
        "name": tumor.name,
        "side": kidney.side,
        "values": _values(tumor.measured.values),
        "largest_diameter": _line(kidney, tumor.measured.largest),
        "largest_axial_diameter": _line(kidney, tumor.measured.axial),
        "renal": {
            "score": str(renal),
            "total": renal.total,
            "complexity": renal.complexity,
            "face": renal.face,
            "hilar": "unknown: vessels are not in the mask",
            "components": [asdict(component) for component in renal.components],
        },
    }


def _values(values: tuple[Value, ...]) -> dict[str, Any]:
    return {v.name: {"value": v.value} if v.value is not None else {"value": None, "why": v.why_none} for v in values}


def _line(kidney: PlannedKidney, line: Line) -> dict[str, Any]:
    return {"mm": line.mm, "ends_lps_mm": kidney.around.kidney.patch.to_lps(line.ends).round(3).tolist()}
