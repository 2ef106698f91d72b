"""The reference of the catalog is what the code says today."""

from pathlib import Path

from db.models import Base
from db.reference import diagram, page
from db.views import VIEWS

PAGE = Path(__file__).parents[2] / "docs" / "catalog.md"


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "write it anew: python -m db.reference > docs/catalog.md"


def test_every_view_column_and_table_is_on_it():
    text = page()
    for view in VIEWS:
        assert f"### {view.name}\n\n{view.description}\n" in text
        assert all(f"| `{name}` |" in text for name in view.columns)
    for table in Base.metadata.tables.values():
        assert all(f" {column.name}" in diagram() for column in table.columns)
        assert f"    {table.name} {{\n" in text


def test_the_diagram_says_which_row_leads_to_which():
    lines = diagram().splitlines()
    assert lines[0] == "erDiagram"
    assert "    case ||--o| clinical_record : case_id" in lines  # at most one
    assert "    evaluation ||--o{ case_score : evaluation_id" in lines
    assert "    model |o--o{ evaluation : locator_id" in lines  # may be none
    assert "        text image_sha256" in lines
    assert "        integer case_id FK, UK" in lines
