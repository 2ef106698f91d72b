"""Scores as rows of text, for terminals, artifacts and pages alike."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from kits_core.labels import KIDNEY, REGIONS, TUMOR
from kits_core.metrics.aggregate import WINNER_DICE, WINNER_SURFACE_DICE, OfficialSummary, summarise
from kits_core.metrics.compare import Comparison
from kits_core.metrics.known import BY_NAME, METRICS
from kits_core.metrics.subgroup import SUBGROUPS

NOTHING = "–"
Rows = list[dict[str, str]]


def score_rows(scores: pd.DataFrame, ceilings: Mapping[str, float] | None = None) -> Rows:
    """One row a region: mean and interval of Dice, its ceiling, the means of the other metrics, what has no distance.

    `scores`: a frame as `metrics.aggregate` has it. `ceilings`: Dice of a perfect model through the recipe, by region;
    None where no recipe is known, which leaves the column out.
    """
    summary = summarise(scores).set_index(["region", "metric"])
    return [_region_row(region, summary, ceilings) for region in regions_of(scores)]


def two_tables(rows: Rows) -> tuple[Rows, Rows]:
    """What `score_rows` gave as overlap and as distances: side by side they are wider than a page."""
    far = [title for title in rows[0] if "mm" in title or "distance" in title]
    overlap = [{title: text for title, text in row.items() if title not in far} for row in rows]
    return overlap, [{title: row[title] for title in ("region", "cases", *far)} for row in rows]


def case_rows(scores: pd.DataFrame) -> Rows:
    """One row a case, worst tumour Dice first."""
    wide = scores.pivot_table(index="case", columns=["region", "metric"], values="value", sort=False, dropna=False)
    wide = wide.sort_values(("tumor", "dice"))
    columns: Sequence[tuple[str, tuple[str, str]]] = (
        ("kidney Dice", ("kidney", "dice")),
        ("tumour Dice", ("tumor", "dice")),
        ("tumour surface Dice", ("tumor", "surface_dice")),
        ("tumour HD95, mm", ("tumor", "hausdorff95_mm")),
        ("tumour, ml", ("tumor", "reference_ml")),
        ("predicted, ml", ("tumor", "prediction_ml")),
    )
    return [
        {"case": str(case)}
        | {title: number(row[key], key[1]) if key in wide.columns else NOTHING for title, key in columns}
        for case, row in wide.iterrows()
    ]


def official_rows(summary: OfficialSummary) -> Rows:
    """The challenge's two numbers beside those of its winner."""
    return [
        {
            "whose": f"these {summary.cases} cases",
            "mean Dice": number(summary.dice, "dice"),
            "mean surface Dice": number(summary.surface_dice, "surface_dice"),
        },
        {
            "whose": "KiTS23's winner, 110 hidden cases",
            "mean Dice": f"{WINNER_DICE:.3f}",
            "mean surface Dice": f"{WINNER_SURFACE_DICE:.3f}",
        },
    ]


def subgroup_rows(subgroups: pd.DataFrame) -> Rows:
    """One row a level of a subgroup: mean Dice of kidney and tumour with its interval, and the tumour's ceiling.

    `subgroups`: rows of `metrics.subgroup.by_subgroup`.
    """
    rows = []
    for (name, level), group in subgroups.groupby(["subgroup", "level"], sort=False):
        by_region = group.set_index("region")
        rows.append(
            {"subgroup": SUBGROUPS[str(name)], "level": str(level), "cases": str(int(group["cases"].max()))}
            | {f"{region} Dice": _with_interval(by_region, region) for region in (TUMOR.name, KIDNEY.name)}
            | {"tumor ceiling": number(by_region["ceiling"].get(TUMOR.name, np.nan), "dice")}
        )
    return rows


def _with_interval(by_region: pd.DataFrame, region: str) -> str:
    if region not in by_region.index:
        return NOTHING
    row = by_region.loc[region]
    interval = "" if pd.isna(row["low"]) else f" ({number(row['low'], 'dice')}–{number(row['high'], 'dice')})"
    return number(row["mean"], "dice") + interval


def comparison_rows(comparison: Comparison, metric: str) -> Rows:
    """One row a region of what changed in a metric."""
    found = comparison.summary[comparison.summary["metric"] == metric]
    return [
        {
            "region": region_title(str(row["region"])),
            "first": number(row["first"], metric),
            "second": number(row["second"], metric),
            "gain": signed(row["gain"], metric),
            "95 % interval": _interval(signed(row["low"], metric), signed(row["high"], metric), " to "),
            "better / worse / equal": f"{row['better']} / {row['worse']} / {row['equal']}",
            "lost / won": f"{row['lost']} / {row['won']}",
            "p": NOTHING if pd.isna(row["p"]) else f"{row['p']:.2g}",
        }
        for _, row in found.iterrows()
    ]


def regions_of(scores: pd.DataFrame) -> list[str]:
    """The regions that were scored, in the registry's order."""
    present = set(scores["region"])
    return [region.name for region in REGIONS if region.name in present]


def region_title(region: str) -> str:
    """A region's name for people."""
    return region.replace("_", " ")


def number(value: float, metric: str) -> str:
    """A value with the places that its metric shows."""
    return NOTHING if pd.isna(value) else f"{value:.{BY_NAME[metric].digits}f}"


def signed(value: float, metric: str) -> str:
    """The same with its sign."""
    return NOTHING if pd.isna(value) else f"{value:+.{BY_NAME[metric].digits}f}"


def _interval(low: str, high: str, between: str = "–") -> str:
    """Two numbers as text; `NOTHING` for an interval that could not be computed, as that of a single case."""
    return NOTHING if NOTHING in (low, high) else f"{low}{between}{high}"


def _region_row(region: str, summary: pd.DataFrame, ceilings: Mapping[str, float] | None) -> dict[str, str]:
    dice = summary.loc[(region, "dice")]
    row = {
        "region": region_title(region),
        "cases": str(int(dice["cases"])),
        "Dice": number(dice["mean"], "dice"),
        "95 % interval": _interval(number(dice["low"], "dice"), number(dice["high"], "dice")),
    }
    quartiles = _interval(number(dice["q25"], "dice"), number(dice["q75"], "dice"))
    row["median (quartiles)"] = f"{number(dice['median'], 'dice')} ({quartiles})"
    if ceilings is not None:
        row["ceiling"] = number(ceilings[region], "dice") if region in ceilings else "unknown"
    for metric in METRICS:
        if metric.name == "dice" or metric.kind == "volume":
            continue
        key = (region, metric.name)
        row[metric.title] = number(summary.loc[key, "mean"], metric.name) if key in summary.index else NOTHING
    failures = summary.loc[(region, "hausdorff95_mm")]
    row["cases without a distance"] = str(int(failures["failures"]))
    row["HD95 with these as the diagonal, mm"] = number(failures["penalised_mean"], "hausdorff95_mm")
    return row
