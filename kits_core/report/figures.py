"""Figures as a file's content, PNG unless another look is asked for.

Each function draws one, on its own canvas, safe to call from any thread.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kits_core.labels import KIDNEY, REGIONS, TUMOR, Label
from kits_core.metrics.subgroup import SUBGROUPS, TUMOR_CUTS_ML
from kits_core.report.sections import Section
from kits_core.report.style import PAGE, Look, drawable, label_decades
from kits_core.text import one_line

REGION_COLORS = dict(zip([r.name for r in REGIONS], sns.color_palette("colorblind").as_hex(), strict=False))
_WINDOW_HU = (-160.0, 240.0)  # the usual soft-tissue window of abdominal CT: width 400, level 40
_LONGEST_LABEL = 60
_REFERENCE_COLOR, _PREDICTION_COLOR = "#00d5ff", "#ffb000"


def score_distribution(scores: pd.DataFrame, ceilings: Mapping[str, float], look: Look = PAGE) -> bytes:
    """Dice and surface Dice of every case by region, the recipe's ceiling of Dice dashed.

    `scores`: columns `case, region, metric, value`. `ceilings`: by region.
    """
    return _by_region(scores, {"dice": "Dice", "surface_dice": "surface Dice"}, (-0.02, 1.02), ceilings, look)


def ceiling_distribution(ceilings: pd.DataFrame, look: Look = PAGE) -> bytes:
    """What a perfect model would score, every case a point. `ceilings`: columns `case, region, metric, value`."""
    titles = {"dice": "Dice of a perfect model", "surface_dice": "surface Dice of a perfect model"}
    return _by_region(ceilings, titles, (None, 1.005), {}, look)


def _by_region(
    values: pd.DataFrame,
    titles: Mapping[str, str],
    limits: tuple[float | None, float],
    ceilings: Mapping[str, float],
    look: Look,
) -> bytes:
    """A panel a metric: box and points of every region, its ceiling dashed in the first."""
    rows, columns = (len(titles), 1) if look.is_narrow else (1, len(titles))
    with mpl.rc_context(look.style()):
        figure = Figure(figsize=look.inches(7.2, 2.9 * rows), layout="constrained")
        panels = np.asarray(figure.subplots(rows, columns))
        for axes, (metric, title) in zip(panels, titles.items(), strict=True):
            data = values[values["metric"] == metric].dropna(subset=["value"])
            regions = [region.name for region in REGIONS if (data["region"] == region.name).any()]
            shared = {"data": data, "x": "value", "y": "region", "hue": "region", "order": regions, "ax": axes}
            shared |= {"palette": REGION_COLORS, "legend": False}
            sns.boxplot(**shared, width=0.5, fliersize=0, boxprops={"alpha": 0.35})
            sns.stripplot(**shared, size=look.pt(3.5), alpha=0.75, jitter=0.18)
            for place, region in enumerate(regions if metric == "dice" else []):
                if region in ceilings:
                    axes.plot([ceilings[region]] * 2, [place - 0.4, place + 0.4], color="black", lw=1.5, ls=(0, (2, 1)))
            axes.set(xlabel=title, ylabel="", xlim=limits)
            axes.set_yticks(range(len(regions)), [region.replace("_", " ") for region in regions])
    return look.bytes_of(figure)


def learning_curve(history: pd.DataFrame, look: Look = PAGE) -> bytes:
    """Loss and validation Dice over epochs. `history`: columns `epoch, loss, kidney_dice, tumor_dice, score`."""
    figure, axes = _canvas(6.0, 3.4, look)
    for column, label, color in (
        ("kidney_dice", "kidney Dice", REGION_COLORS[KIDNEY.name]),
        ("tumor_dice", "tumour Dice", REGION_COLORS[TUMOR.name]),
    ):
        axes.plot(history["epoch"], history[column], color=color, label=label)
    axes.plot(history["epoch"], history["loss"], color="0.5", ls="--", label="training loss")
    best = history.loc[history["score"].idxmax()]
    axes.axvline(best["epoch"], color="0.7", lw=1)
    axes.annotate(f"best, epoch {int(best['epoch'])}", (best["epoch"], 0.02), ha="right", va="bottom", rotation=90,
                  fontsize=look.pt(8), color="0.4")  # fmt: skip
    axes.set(xlabel="epoch", ylabel="validation Dice, loss", ylim=(0, max(1.02, 1.05 * float(history["loss"].max()))))
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=look.pt(9),
                handlelength=1.6, columnspacing=1.2)  # fmt: skip
    return look.bytes_of(figure)


def tumor_volume_agreement(scores: pd.DataFrame, look: Look = PAGE) -> bytes:
    """Bland-Altman (1986) of tumour volume: how far the prediction is off, in percent of both volumes' mean.

    One point a case over that mean on a logarithmic axis; the mean difference, and 1.96 standard deviations about it.
    Percent, because the spread grows with the volume. A case of which nothing was found lies at -200 %; one that could
    not be predicted has no volume and is left out.
    """
    data = _wide(scores, TUMOR.name).dropna(subset=["reference_ml", "prediction_ml"])
    mean_ml = (data["reference_ml"] + data["prediction_ml"]) / 2
    data, mean_ml = data[mean_ml > 0], mean_ml[mean_ml > 0]
    percent = 100 * (data["prediction_ml"] - data["reference_ml"]) / mean_ml
    figure, axes = _canvas(6.0, 3.4, look)
    farthest = max(200.0, _bland_altman(axes, mean_ml, percent, "%", look))
    limits = _decades(mean_ml)
    axes.set(xscale="log", xlim=limits, ylim=(-1.08 * farthest, 1.08 * farthest))
    axes.set(xlabel="mean of predicted and reference tumour, ml", ylabel="predicted minus reference, %")
    label_decades(axes.xaxis, limits)
    return look.bytes_of(figure)


def tumor_diameter_agreement(measured: pd.DataFrame, look: Look = PAGE) -> bytes:
    """Bland-Altman (1986) of the largest diameter, a point a tumour that reference and prediction both have.

    `measured`: columns `structure, name, reference, prediction`.
    """
    found = measured[measured["name"] == "diameter_mm"].dropna(subset=["reference", "prediction"])
    figure, axes = _canvas(6.0, 3.4, look)
    _bland_altman(
        axes, (found["reference"] + found["prediction"]) / 2, found["prediction"] - found["reference"], "mm", look
    )
    axes.set(xlabel="mean of predicted and reference largest diameter, mm", ylabel="predicted minus reference, mm")
    return look.bytes_of(figure)


def dice_over_volume(scores: pd.DataFrame, look: Look = PAGE) -> bytes:
    """Tumour Dice of every case over the reference tumour's volume, and the median within ranges of it."""
    data = _wide(scores, TUMOR.name).dropna(subset=["dice"])
    data = data[data["reference_ml"] > 0]
    figure, axes = _canvas(6.0, 3.4, look)
    axes.scatter(data["reference_ml"], data["dice"], color=REGION_COLORS[TUMOR.name], s=look.area(18), alpha=0.85)
    limits = _decades(data["reference_ml"])
    for low, high in pairwise((limits[0], *TUMOR_CUTS_ML, limits[1])):
        inside = data[(data["reference_ml"] > low) & (data["reference_ml"] <= high)]
        if len(inside) > 1:
            axes.plot([low, high], [inside["dice"].median()] * 2, color="0.35", lw=1.5)
    axes.set(xscale="log", xlim=limits, ylim=(-0.02, 1.02))
    axes.set(xlabel="reference tumour, ml (lines: median of the cases in a range)", ylabel="tumour Dice")
    label_decades(axes.xaxis, limits)
    return look.bytes_of(figure)


def subgroup_forest(subgroups: pd.DataFrame, overall: float, look: Look = PAGE) -> bytes:
    """Mean tumour Dice with its 95 % interval by subgroup, a row a level; the mean of all cases dashed.

    `subgroups`: rows of `metrics.subgroup.by_subgroup` of one region.
    """
    rows: list[tuple[str, pd.Series | None]] = []
    for name, group in subgroups.groupby("subgroup", sort=False):
        rows.append((SUBGROUPS[str(name)], None))
        rows += [(f"{_plain(str(row['level']))} ({row['cases']})", row) for _, row in group.iterrows()]
    figure, axes = _canvas(6.0, 0.7 + 0.21 * max(len(rows), 3), look)
    axes.axvline(overall, color="0.6", lw=1, ls="--")
    for place, (_, row) in enumerate(rows):
        if row is not None:
            interval = [row["low"], row["high"]] if not pd.isna(row["low"]) else [row["mean"]] * 2
            axes.plot(interval, [place] * 2, color=REGION_COLORS[TUMOR.name], lw=1.5)
            if not pd.isna(row["ceiling"]):
                axes.plot([row["ceiling"]] * 2, [place - 0.35, place + 0.35], color="black", lw=1.5)
            axes.plot(row["mean"], place, "s", color=REGION_COLORS[TUMOR.name], ms=2.5 + min(6, row["cases"] ** 0.5))
    axes.set_yticks(range(len(rows)), [label for label, _ in rows])
    for tick, (_, row) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if row is None else "normal")
    axes.tick_params(axis="y", length=0)
    legend = ("(in brackets: cases;", "dashed: all cases; bars: ceiling)")
    label = "\n".join(("tumour Dice", *legend)) if look.is_narrow else " ".join(("tumour Dice", *legend))
    axes.set(
        xlim=(-0.02, 1.02),
        ylim=(len(rows) - 0.4, -0.6),
        xlabel=label,
    )
    return look.bytes_of(figure)


def case_slices(
    cases: Iterable[Sequence[Section]],
    captions: Sequence[str],
    *,
    compared: str | None = "prediction",
    look: Look = PAGE,
) -> bytes:
    """One row a case: its three sections with contours. `compared`: what predictions are called; None: no legend."""
    has_predictions = False
    with mpl.rc_context(look.style()):
        figure = Figure(figsize=look.inches(7.2, 2.55 * len(captions), pictures=True), layout="constrained")
        grid = np.atleast_2d(np.asarray(figure.subplots(len(captions), 3)))
        for row, sections, caption in zip(grid, cases, captions, strict=True):
            for axes, section in zip(row, sections, strict=True):
                _draw_section(axes, section, look)
                has_predictions = has_predictions or section.prediction is not None
            row[0].set_title(_plain(caption), loc="left", fontsize=look.pt(8.5))
        if compared is not None:
            colors = f"reference: blue · {compared}: orange · " if has_predictions else ""
            figure.supxlabel(f"{colors}tumour solid, kidney dotted", fontsize=look.pt(8))
    return look.bytes_of(figure)


def _plain(text: str) -> str:
    """Outside text, made safe for a label.

    Matplotlib would read text between two dollar signs as a formula, or fail, and a long label would leave no room for
    the figure.
    """
    line = drawable(one_line(text))
    return (line if len(line) <= _LONGEST_LABEL else f"{line[: _LONGEST_LABEL - 1]}…").replace("$", r"\$")


def _draw_section(axes: Axes, section: Section, look: Look) -> None:
    picture = section.picture
    axes.imshow(picture, cmap="gray", vmin=_WINDOW_HU[0], vmax=_WINDOW_HU[1], interpolation="bilinear")
    for labels, color in ((section.reference, _REFERENCE_COLOR), (section.prediction, _PREDICTION_COLOR)):
        if labels is None:
            continue
        for values, line in (((Label.KIDNEY, Label.TUMOR, Label.CYST), ":"), ((Label.TUMOR,), "-")):
            mask = np.isin(labels, values)
            if mask.any() and not mask.all():
                axes.contour(mask, levels=[0.5], colors=[color], linewidths=1.1, linestyles=[line])
    height, width = picture.shape
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.text(width * 0.02, height / 2, section.sides[0], color="white", va="center", fontsize=look.pt(8))
    axes.text(width * 0.98, height / 2, section.sides[1], color="white", va="center", ha="right", fontsize=look.pt(8))
    bar = (width * 0.04, width * 0.04 + 50 / section.mm_per_pixel)
    axes.plot(bar, [height * 0.95] * 2, color="white", lw=2)
    axes.text(sum(bar) / 2, height * 0.935, "5 cm", color="white", ha="center", va="bottom", fontsize=look.pt(6.5))


def _bland_altman(axes: Axes, means: pd.Series, differences: pd.Series, unit: str, look: Look) -> float:
    """Differences over means; the mean difference, and 1.96 standard deviations about it. How far these lie from 0."""
    axes.axhline(0, color="0.8", lw=1)
    axes.scatter(means, differences, color=REGION_COLORS[TUMOR.name], s=look.area(18), alpha=0.85)
    bias = spread = 0.0
    if len(differences) > 1:
        bias, spread = differences.mean(), 1.96 * differences.std(ddof=1)
        lines = {"mean": (bias, "-"), "+1.96 SD": (bias + spread, "--"), "-1.96 SD": (bias - spread, "--")}
        digits = 0 if unit == "%" else 1
        for name, (level, dashes) in lines.items():
            axes.axhline(level, color="0.35", lw=1, ls=dashes)
            said = f"{name} {level:+.{digits}f} {unit}"
            axes.annotate(said, (1, level), xycoords=("axes fraction", "data"), xytext=(-2, 2), color="0.35",
                          textcoords="offset points", ha="right", va="bottom", fontsize=look.pt(7.5))  # fmt: skip
    return float(abs(bias) + spread)


def _wide(scores: pd.DataFrame, region: str) -> pd.DataFrame:
    """A row a case, a column a metric."""
    return scores[scores["region"] == region].pivot_table(index="case", columns="metric", values="value", dropna=False)


def _decades(values: pd.Series) -> tuple[float, float]:
    """Limits of a logarithmic axis with some room around the values."""
    return (float(values.min()) / 1.5, float(values.max()) * 1.5) if len(values) else (1.0, 100.0)


def _canvas(width_in: float, height_in: float, look: Look) -> tuple[Figure, Axes]:
    with mpl.rc_context(look.style()):
        figure = Figure(figsize=look.inches(width_in, height_in), layout="constrained")
        return figure, figure.subplots()
