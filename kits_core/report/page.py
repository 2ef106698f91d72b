"""The evaluation report: one HTML file without any outside reference, to mail, print or keep."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kits_core.labels import REGIONS
from kits_core.metrics.aggregate import summarise
from kits_core.report.methods import Lineage, methods_paragraph

_SHOWN_METRICS = {
    "dice": "Dice",
    "iou": "IoU",
    "volumetric_similarity": "volumetric similarity",
    "hausdorff_mm": "Hausdorff, mm",
    "hausdorff95_mm": "HD95, mm",
    "mean_surface_distance_mm": "mean surface distance, mm",
}


@dataclass(frozen=True, eq=False)
class Report:
    """What a page shows. `scores`: long, columns `case, region, metric, value, status`. Figures: PNG by title."""

    title: str
    subset: str
    scores: pd.DataFrame
    ceilings: Mapping[str, float]
    lineage: Lineage
    figures: Mapping[str, bytes]
    created: str
    cases_pictured: Mapping[str, bytes] = field(default_factory=dict)


def score_rows(scores: pd.DataFrame, ceilings: Mapping[str, float]) -> list[dict[str, str]]:
    """One row of text a region: mean and interval of Dice, its ceiling, the means of the other metrics."""
    summary = summarise(scores).set_index(["region", "metric"])
    rows = []
    for region in [region.name for region in REGIONS if (region.name, "dice") in summary.index]:
        dice = summary.loc[(region, "dice")]
        row = {
            "region": region.replace("_", " "),
            "cases": str(int(dice["cases"])),
            "Dice": f"{dice['mean']:.3f}",
            "95 % interval": f"{dice['low']:.3f} – {dice['high']:.3f}",
            "ceiling": f"{ceilings[region]:.3f}" if region in ceilings else "unknown",
        }
        for metric, title in list(_SHOWN_METRICS.items())[1:]:
            found = summary.loc[(region, metric)]
            digits = 1 if metric.endswith("_mm") else 3
            row[title] = "–" if pd.isna(found["mean"]) else f"{found['mean']:.{digits}f}"
        row["cases without a distance"] = str(int(summary.loc[(region, "hausdorff_mm"), "failures"]))
        rows.append(row)
    return rows


def case_rows(scores: pd.DataFrame) -> list[dict[str, str]]:
    """One row of text a case, worst tumour Dice first."""
    wide = scores.pivot_table(index="case", columns=["region", "metric"], values="value", sort=False)
    wide = wide.sort_values(("tumor", "dice"))
    columns: Sequence[tuple[str, tuple[str, str], int]] = (
        ("kidney Dice", ("kidney", "dice"), 3),
        ("tumour Dice", ("tumor", "dice"), 3),
        ("tumour HD95, mm", ("tumor", "hausdorff95_mm"), 1),
        ("tumour, ml", ("tumor", "reference_ml"), 1),
        ("predicted, ml", ("tumor", "prediction_ml"), 1),
    )
    return [
        {"case": str(case)}
        | {
            title: "–" if key not in wide.columns or pd.isna(row[key]) else f"{row[key]:.{digits}f}"
            for title, key, digits in columns
        }
        for case, row in wide.iterrows()
    ]


def render(report: Report) -> str:
    """The page as HTML text."""
    environment = Environment(loader=PackageLoader("kits_core.report", "."), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html.j2").render(
        title=report.title,
        subset=report.subset,
        created=report.created,
        score_rows=score_rows(report.scores, report.ceilings),
        case_rows=case_rows(report.scores),
        figures={title: data_url(png) for title, png in report.figures.items()},
        cases_pictured={title: data_url(png) for title, png in report.cases_pictured.items()},
        methods=methods_paragraph(report.lineage, report.subset),
        lineage=report.lineage,
    )


def data_url(png: bytes) -> Markup:
    """A PNG as an address that carries it."""
    return Markup(f"data:image/png;base64,{base64.b64encode(png).decode()}")  # noqa: S704 - base64 has no markup
