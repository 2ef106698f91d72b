"""The catalog's views and tables by column, and the metrics, from their definitions."""

import inspect
from collections.abc import Iterator

from sqlalchemy import JSON, Column, Enum, Table

from db.models import Base
from db.models.base import Finite, StoredText, UtcDateTime
from db.views import VIEWS
from deployments.reference.markdown import code, page, prose, table
from kits_core.labels import OFFICIAL_REGIONS, REGIONS, Region
from kits_core.metrics.score import METRICS, Metric, Status
from kits_core.plan.measurement import MEASUREMENTS


def catalog_page() -> str:
    """The page of the catalog."""
    classes = {mapper.class_.__tablename__: mapper.class_ for mapper in Base.registry.mappers}
    return page(
        "# The catalog",
        "Made from the code. Ask the views: their columns never change meaning, and they are the same on SQLite and "
        "PostgreSQL. [Asking the catalog](../queries.md) has worked queries. Tables may change between versions.",
        "## Views",
        *(part for view in VIEWS for part in (
            f"### {view.name}",
            prose(view.description),
            table(("column", "meaning"), ((code(name), meaning) for name, meaning in view.columns.items())),
        )),
        "## How the tables hang together",
        "A table below another has a row, or many, for each of its rows. `+ x`: it also refers to `x`.",
        "```text\n" + "\n".join(_tree()) + "\n```",
        "## Tables",
        *(part for name in sorted(Base.metadata.tables) for part in (
            f"### Table {name}",
            prose(inspect.getdoc(classes[name]) or ""),
            table(("column", "type", "refers to", "may be empty"), map(_column, Base.metadata.tables[name].columns)),
        )),
    )  # fmt: skip


def metrics_page() -> str:
    """The page of regions, metrics and measurements of a plan."""
    return page(
        "# Metrics",
        "Made from the code. P and R are the voxels of prediction and reference, on the scan's original grid.",
        table(("metric", "formula and source", "where a mask is empty"), map(_metric, METRICS)),
        "## Regions",
        "Each region is scored by itself. The tolerances of surface Dice are the challenge's.",
        table(("region", "labels", "tolerance, mm", "ranks in the challenge"), map(_region, REGIONS)),
        "## Status of a value",
        f"Each value has one of: {', '.join(code(str(status)) for status in Status)}. A case without a prediction is "
        "`missing`; its overlap and detection count as 0, so that leaving a case out never raises a mean.",
        "## Measurements of a plan",
        table(("name", "unit", "definition"), ((code(m.name), m.unit, m.definition) for m in MEASUREMENTS)),
    )


def _tree() -> Iterator[str]:
    """Each table once, below the first table that it refers to, in a fixed order."""
    parents = {t.name: _parents(t) for t in Base.metadata.sorted_tables}

    def below(name: str, depth: int) -> Iterator[str]:
        others = "".join(f" + {other}" for other in parents[name][1:])
        yield f"{'   ' * (depth - 1)}{'└─ ' if depth else ''}{name}{others}"
        for child in sorted(child for child, of in parents.items() if of[:1] == [name]):
            yield from below(child, depth + 1)

    for root in sorted(name for name, of in parents.items() if not of):
        yield from below(root, 0)


def _parents(of: Table) -> list[str]:
    names = [key.column.table.name for column in of.columns for key in column.foreign_keys]
    return [name for name in dict.fromkeys(names) if name != of.name]


def _column(column: Column[object]) -> tuple[str, str, str, str]:
    targets = ", ".join(
        code(key.target_fullname) for key in sorted(column.foreign_keys, key=lambda key: key.target_fullname)
    )
    words = column.type.enums if isinstance(column.type, Enum) else ()
    kind = " or ".join(map(code, words)) or _KINDS.get(type(column.type), type(column.type).__name__.lower())
    return code(column.name), "primary key" if column.primary_key else kind, targets, "yes" if column.nullable else ""


_KINDS = {StoredText: "text", UtcDateTime: "time, UTC", Finite: "number", JSON: "JSON"}
_EMPTY = {
    "overlap": "1 where both are empty, 0 where one is",
    "distance": "no value; a second mean takes the image's diagonal, where one mask is empty",
    "detection": "no value where the reference is empty",
    "volume": "as found; a prediction that is missing has none",
}


def _metric(metric: Metric) -> tuple[str, str, str]:
    return f"{metric.title} (`{metric.name}`)", metric.definition, _EMPTY[metric.kind]


def _region(region: Region) -> tuple[str, str, str, str]:
    labels = " + ".join(label.name.lower() for label in region.labels)
    tolerance = "" if region.tolerance_mm is None else f"{region.tolerance_mm:.4f}"
    return code(region.name), labels, tolerance, "yes" if region in OFFICIAL_REGIONS else ""
