"""A page's tables: a row a tumour or a kidney, a narrow column a measurement, its unit in the heading."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from string import ascii_lowercase

from kits_core.plan.measurement import BY_NAME, MARGINS_MM, Value

NOTHING = "–"

_TUMOR_GROUPS = (
    ("size", {"volume_ml": "volume, ml", "diameter_mm": "largest, mm", "axial_diameter_mm": "axial, mm"}),
    ("in the kidney", {"exophytic_fraction": "outside, %", "contact_mm2": "contact, mm²"}),
    (
        "distance to, mm",
        {"sinus_distance_mm": "renal sinus", "cyst_distance_mm": "cyst", "tumor_distance_mm": "other tumour"},
    ),
    (
        "share of it, %",
        {
            "above_fraction": "above polar line",
            "below_fraction": "below polar line",
            "across_middle_fraction": "across middle",
            "anterior_fraction": "in front",
        },
    ),
    ("tissue left, ml, margin", {f"parenchyma_left_{mm}mm_ml": f"{mm}\N{NO-BREAK SPACE}mm" for mm in MARGINS_MM}),
)
_KIDNEY_GROUPS = (
    ("", {"parenchyma_ml": "tissue, ml", "tumor_ml": "tumour, ml", "cyst_ml": "cysts, ml", "length_mm": "length, mm"}),
)
"""Groups of columns: a heading over all, and each column's name and heading."""


@dataclass(frozen=True)
class Line:
    """A structure to be a row. `color`: as a style sheet has it, empty for none. `score`: of a tumour."""

    title: str
    values: Sequence[Value]
    color: str
    score: str = ""


@dataclass(frozen=True)
class Cell:
    """A text and the letter of the note that says why there is no value; empty where there is one."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A heading, and how what stands below it is defined."""

    heading: str
    definition: str


@dataclass(frozen=True)
class Table:
    """`groups`: headings over columns and how many each spans; `rows`: of the lines, cells in the columns' order.

    `notes`: by letter.
    """

    groups: tuple[tuple[str, int], ...]
    columns: tuple[Column, ...]
    rows: tuple[tuple[Line, tuple[Cell, ...]], ...]
    notes: dict[str, str]

    @property
    def starts(self) -> set[int]:
        """Places of the columns that begin a group."""
        return set(accumulate((span for _, span in self.groups[:-1]), initial=0)) if len(self.groups) > 1 else set()


def tumor_table(lines: Sequence[Line]) -> Table:
    """Every measurement of each tumour."""
    return _table(_TUMOR_GROUPS, lines)


def kidney_table(lines: Sequence[Line]) -> Table:
    """Every measurement of each kidney."""
    return _table(_KIDNEY_GROUPS, lines)


def _table(groups: Sequence[tuple[str, dict[str, str]]], lines: Sequence[Line]) -> Table:
    headings = {name: heading for _, columns in groups for name, heading in columns.items()}
    found = [{value.name: value for value in line.values} for line in lines]
    reasons = dict.fromkeys(v.why_none for values in found for v in values.values() if v.value is None)
    letters = dict(zip(reasons, ascii_lowercase, strict=False))
    return Table(
        tuple((title, len(columns)) for title, columns in groups),
        tuple(Column(heading, BY_NAME[name].definition) for name, heading in headings.items()),
        tuple(
            (line, tuple(_cell(values[name], letters) for name in headings))
            for line, values in zip(lines, found, strict=True)
        ),
        {letter: reason for reason, letter in letters.items()},
    )


def _cell(value: Value, letters: dict[str, str]) -> Cell:
    if value.value is None:
        return Cell(NOTHING, letters[value.why_none])
    if BY_NAME[value.name].unit == "1":
        return Cell(f"{100 * value.value:.0f}")
    return Cell(f"{value.value:.1f}" if value.value < 1000 else f"{value.value:,.0f}")
