"""Regions, metrics and measurements of a plan, from their definitions."""

from deployments.reference.markdown import code, page, table
from kits_core.labels import OFFICIAL_REGIONS, REGIONS, Region
from kits_core.metrics.known import METRICS
from kits_core.metrics.metric import Metric
from kits_core.metrics.score import Status
from kits_core.plan.measurement import MEASUREMENTS


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
