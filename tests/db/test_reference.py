"""The reference of the catalog is what the code says today."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Column, ForeignKey, MetaData, Table

from db.diagram import diagram
from db.models import Base
from db.reference import page
from db.views import VIEWS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "written"), [("catalog.md", page()), ("catalog.svg", diagram(Base.metadata))])
def test_page_and_picture_are_current(name, written):
    assert (DOCS / name).read_text(encoding="utf-8") == written, "write them anew: python -m db.reference"


def test_every_view_column_and_table_is_on_the_page():
    text = page()
    for view in VIEWS:
        assert f"### {view.name}\n\n{view.description}\n" in text
        assert all(f"| `{name}` |" in text for name in view.columns)
    for table in Base.metadata.tables.values():
        section = text.split(f"### Table {table.name}\n")[1].split("\n###")[0]
        assert all(f"| `{column.name}` |" in section for column in table.columns)


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("clinical_record", "| `case_id` | integer | UK | `case`, at most one |"),
        ("case_score", "| `evaluation_id` | integer | UK | `evaluation` |"),
        ("evaluation", "| `locator_id` | integer |  | `model`, may be NULL |"),
        ("prepared_case", "| `image_sha256` | text |  |  |"),
        ("dataset", "| `id` | integer | PK |  |"),
    ],
)
def test_the_page_says_which_row_leads_to_which(table, row):
    assert row in page().split(f"### Table {table}\n")[1].split("\n###")[0].splitlines()


def _boxes(svg):
    """Left, top, right and bottom of each named box."""
    found = re.findall(r'<rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"\n[^\n]+\n<text[^>]+>(\w+)</text>', svg)
    return {name: (int(x), int(y), int(x) + int(width), int(y) + int(height)) for x, y, width, height, name in found}


def test_the_picture_has_every_table_to_the_right_of_those_that_it_refers_to():
    svg = diagram(Base.metadata)
    boxes = _boxes(svg)
    assert boxes.keys() == Base.metadata.tables.keys()
    keys = [key for table in Base.metadata.tables.values() for key in table.foreign_keys if key.column.table != table]
    assert len(keys) == svg.count("<path")
    assert all(boxes[key.column.table.name][2] < boxes[key.parent.table.name][0] for key in keys)
    places = list(boxes.values())
    for number, (left, top, right, bottom) in enumerate(places):
        for other in places[number + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_a_line_goes_from_box_to_box():
    metadata = MetaData()
    Table("a", metadata, Column("id", primary_key=True))
    Table("b", metadata, Column("a_id", ForeignKey("a.id")))
    svg = diagram(metadata)
    boxes = _boxes(svg)
    x, y, *_, to_x, to_y = map(int, re.findall(r"\d+", re.findall(r'<path d="([^"]+)"', svg)[0]))
    assert (x, to_x) == (boxes["a"][2], boxes["b"][0])
    assert y == (boxes["a"][1] + boxes["a"][3]) / 2
    assert to_y == (boxes["b"][1] + boxes["b"][3]) / 2
