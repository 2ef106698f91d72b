import pytest
from pydantic import BaseModel, ConfigDict, Field

from kits_core.form import suit_a_form, title_of


class Inner(BaseModel):
    pass


class Asked(BaseModel):
    model_config = ConfigDict(field_title_generator=title_of, json_schema_extra=suit_a_form)

    spacing_mm: float | None = Field(None, gt=0, description="Of the grid.")
    window_hu: tuple[float, float] = (0, 1)
    either: int | str | None = None
    own: str | None = Field(None, title="A name of its own", json_schema_extra={"enum": ["a", "b"]})
    around_it: Inner = Inner()


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("margin_mm", "Margin (mm)"),
        ("window_hu", "Window (HU)"),
        ("settle_seconds", "Settle (s)"),
        ("batch_size", "Batch size"),
        ("mm", "Mm"),
    ],
)
def test_a_title_is_words_with_the_unit(name, title):
    assert title_of(name, None) == title


def test_a_form_shows_no_null_and_keeps_the_order():
    fields = Asked.model_json_schema()["properties"]
    assert fields["spacing_mm"] == {
        "type": "number", "exclusiveMinimum": 0, "title": "Spacing (mm)", "description": "Of the grid.", "position": 0,
    }  # fmt: skip
    assert fields["window_hu"]["default"] == [0, 1]
    assert fields["either"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert fields["own"] == {"type": "string", "enum": ["a", "b"], "title": "A name of its own", "position": 3}
    assert fields["around_it"]["title"] == "Around it"
    assert [field["position"] for field in fields.values()] == [0, 1, 2, 3, 4]
