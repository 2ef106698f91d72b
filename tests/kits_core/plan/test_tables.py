"""A row a tumour or kidney: numbers below units, and a letter where there is none."""

import pytest

from kits_core.plan.measurement import MEASUREMENTS
from kits_core.plan.plan import make_plan
from kits_core.plan.tables import Cell, Line, kidney_table, tumor_table

KIDNEYS = [(1, (60, 0, 0), 25), (1, (-60, 0, 0), 25)]


@pytest.fixture(scope="module")
def plan(phantom):
    return make_plan("case", phantom.paint((2, 2, 2), [*KIDNEYS, (2, (60, 25, 0), 10), (2, (-60, 20, 0), 8)]))


def test_every_measurement_is_a_column_and_every_tumour_a_row(plan):
    lines = [Line(tumor.name, tumor.measured.values, "red", str(tumor.renal)) for _, tumor in plan.tumors]
    table = tumor_table(lines)
    names = [m.definition for m in MEASUREMENTS if m.of == "tumor"]
    assert sorted(column.definition for column in table.columns) == sorted(names)
    assert sum(span for _, span in table.groups) == len(table.columns)
    assert table.starts == {0, 3, 5, 8, 12}
    assert [line.title for line, _ in table.rows] == ["tumor_1", "tumor_2"]
    volume = plan.tumors[0][1].measured.by_name["volume_ml"]
    assert table.rows[0][1][0] == Cell(f"{volume:.1f}")
    share = plan.tumors[0][1].measured.by_name["exophytic_fraction"]
    assert table.rows[0][1][3] == Cell(f"{100 * share:.0f}")


def test_what_has_no_value_has_a_letter_and_the_letter_a_reason(plan):
    (_, cells), *_ = tumor_table([Line("t", plan.tumors[0][1].measured.values, "")]).rows
    table = tumor_table([Line("t", plan.tumors[0][1].measured.values, "")])
    (letter,) = [letter for letter, why in table.notes.items() if why == "no cyst of the same kidney"]
    assert cells[6] == Cell("–", letter)


def test_kidneys_are_rows_too(plan):
    table = kidney_table([Line(kidney.side, kidney.values, "") for kidney in plan.kidneys])
    assert [column.heading for column in table.columns] == ["tissue, ml", "tumour, ml", "cysts, ml", "length, mm"]
    assert [line.title for line, _ in table.rows] == ["left", "right"]
    assert (table.starts, table.notes) == (set(), {})
