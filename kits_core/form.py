"""How settings look in a form that is made from their JSON schema, as Prefect's dashboard makes one."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

_UNITS = {"mm": "mm", "hu": "HU", "seconds": "s"}


def without_unit(name: str) -> tuple[str, str]:
    """A field's name without its unit, and the unit: `margin_mm` is `margin` and `mm`; "" where it has none."""
    bare, _, last = name.rpartition("_")
    return (bare, _UNITS[last]) if bare and last in _UNITS else (name, "")


def title_of(name: str, _field: object) -> str:
    """A field's name as words, its unit in brackets: `margin_mm` becomes "Margin (mm)"."""
    bare, unit = without_unit(name)
    words = bare.replace("_", " ").capitalize()
    return f"{words} ({unit})" if unit else words


def choices_of(field: "FieldInfo") -> list[str]:
    """What a field offers beside its type (`kits_core.registry`); nothing for most fields."""
    extra = field.json_schema_extra
    return [str(choice) for choice in extra.get("enum", [])] if isinstance(extra, dict) else []  # type: ignore[union-attr]


def suit_a_form(schema: dict[str, Any]) -> None:
    """Change a model's JSON schema so that a form shows one input a field, in the order of the fields.

    - A field that may be None loses the branch `null`: a form shows that as a choice of types, and "None" where nothing
      is to be typed. Left empty, such a field is absent, which means None. The server accepts null for it all the same.
    - `position` keeps the order: PostgreSQL stores a schema's keys in an order of its own.
    """
    for position, (name, field) in enumerate(schema.get("properties", {}).items()):
        field["position"] = position
        field.setdefault("title", title_of(name, None))  # a model within a model has its class's name otherwise
        _drop_null(field)


def _drop_null(field: dict[str, Any]) -> None:
    branches = field.get("anyOf", [])
    kept = [branch for branch in branches if branch != {"type": "null"}]
    if len(kept) == len(branches):
        return
    if field.get("default", ...) is None:
        del field["default"]
    if len(kept) == 1:
        del field["anyOf"]
        for name, value in kept[0].items():
            field.setdefault(name, value)
    else:
        field["anyOf"] = kept
