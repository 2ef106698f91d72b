"""Figures as PNG bytes. Each function draws one, on its own canvas, safe to call from any thread."""

from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from kits_core.labels import KIDNEY, REGIONS, TUMOR, Label
from kits_core.report.sections import Section

REGION_COLORS = dict(zip([r.name for r in REGIONS], sns.color_palette("colorblind").as_hex(), strict=False))
_WINDOW_HU = (-160.0, 240.0)  # the usual soft-tissue window of abdominal CT: width 400, level 40
_REFERENCE_COLOR, _PREDICTION_COLOR = "#00d5ff", "#ffb000"
STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 130}


def dice_distribution(scores: pd.DataFrame, ceilings: Mapping[str, float]) -> bytes:
    """Dice of every case by region, the recipe's ceiling dashed. `scores`: columns `case, region, metric, value`."""
    data = scores[scores["metric"] == "dice"]
    regions = [region.name for region in REGIONS if (data["region"] == region.name).any()]
    figure, axes = _canvas(6.0, 3.4)
    sns.boxplot(
        data=data, x="value", y="region", hue="region", order=regions, palette=REGION_COLORS, ax=axes,
        width=0.5, fliersize=0, boxprops={"alpha": 0.35}, legend=False,
    )  # fmt: skip
    sns.stripplot(
        data=data, x="value", y="region", hue="region", order=regions, palette=REGION_COLORS, ax=axes,
        size=4, alpha=0.8, legend=False, jitter=0.15,
    )  # fmt: skip
    for place, region in enumerate(regions):
        if region in ceilings:
            axes.plot([ceilings[region]] * 2, [place - 0.38, place + 0.38], color="black", lw=1.5, ls=(0, (2, 1)))
    axes.set(xlim=(-0.02, 1.02), xlabel="Dice on the original grid (dashed: ceiling of the recipe)", ylabel="")
    axes.set_yticks(range(len(regions)), [region.replace("_", " ") for region in regions])
    return png_of(figure)


def ceiling_distribution(ceilings: pd.DataFrame) -> bytes:
    """What a perfect model would score, every case a point. `ceilings`: columns `case, region, metric, value`."""
    metrics = {"dice": "Dice", "surface_dice": "surface Dice"}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.6), layout="constrained")
        panels = np.asarray(figure.subplots(1, len(metrics), sharex=True))
        for axes, (metric, name) in zip(panels, metrics.items(), strict=True):
            data = ceilings[ceilings["metric"] == metric]
            regions = [region.name for region in REGIONS if (data["region"] == region.name).any()]
            sns.boxplot(
                data=data, x="value", y="region", hue="region", order=regions, palette=REGION_COLORS, ax=axes,
                width=0.5, fliersize=0, boxprops={"alpha": 0.35}, legend=False,
            )  # fmt: skip
            sns.stripplot(
                data=data, x="value", y="region", hue="region", order=regions, palette=REGION_COLORS, ax=axes,
                size=3, alpha=0.7, legend=False, jitter=0.2,
            )  # fmt: skip
            axes.set(xlabel=f"{name} of a perfect model", ylabel="")
            axes.set_xlim(right=1.005)
            axes.set_yticks(range(len(regions)), [region.replace("_", " ") for region in regions])
    return png_of(figure)


def learning_curve(history: pd.DataFrame) -> bytes:
    """Loss and validation Dice over epochs. `history`: columns `epoch, loss, kidney_dice, tumor_dice, score`."""
    figure, axes = _canvas(6.0, 3.4)
    for column, label, color in (
        ("kidney_dice", "kidney Dice", REGION_COLORS[KIDNEY.name]),
        ("tumor_dice", "tumour Dice", REGION_COLORS[TUMOR.name]),
    ):
        axes.plot(history["epoch"], history[column], color=color, label=label)
    axes.plot(history["epoch"], history["loss"], color="0.5", ls="--", label="training loss")
    best = history.loc[history["score"].idxmax()]
    axes.axvline(best["epoch"], color="0.7", lw=1)
    axes.annotate(f"best, epoch {int(best['epoch'])}", (best["epoch"], 0.02), ha="right", va="bottom", rotation=90,
                  fontsize=8, color="0.4")  # fmt: skip
    axes.set(xlabel="epoch", ylabel="validation Dice, loss", ylim=(0, 1.02))
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return png_of(figure)


def tumor_volume_agreement(scores: pd.DataFrame) -> bytes:
    """Predicted against reference tumour volume, one point a case, logarithmic axes, the diagonal drawn."""
    data = scores[scores["region"] == TUMOR.name].pivot_table(index="case", columns="metric", values="value")
    figure, axes = _canvas(6.0, 3.4)
    smallest = 0.1  # ml: where an empty prediction is drawn on a logarithmic axis
    reference = data["reference_ml"].clip(lower=smallest)
    prediction = data["prediction_ml"].clip(lower=smallest)
    limits = (min(reference.min(), prediction.min()) / 1.5, max(reference.max(), prediction.max()) * 1.5)
    axes.plot(limits, limits, color="0.7", lw=1)
    axes.scatter(reference, prediction, color=REGION_COLORS[TUMOR.name], s=18, alpha=0.85)
    axes.set(xscale="log", yscale="log", xlim=limits, ylim=limits, aspect="equal")
    axes.set(xlabel="reference tumour, ml", ylabel="predicted tumour, ml")
    for axis in (axes.xaxis, axes.yaxis):
        label_decades(axis, limits)
    return png_of(figure)


def case_slices(cases: Iterable[Sequence[Section]], captions: Sequence[str], *, compared: str = "prediction") -> bytes:
    """One row a case: its three sections with contours. `compared`: what their predictions are."""
    has_predictions = False
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 2.55 * len(captions)), layout="constrained")
        grid = np.atleast_2d(np.asarray(figure.subplots(len(captions), 3)))
        for row, sections, caption in zip(grid, cases, captions, strict=True):
            for axes, section in zip(row, sections, strict=True):
                _draw_section(axes, section)
                has_predictions = has_predictions or section.prediction is not None
            row[0].set_title(caption, loc="left", fontsize=8.5)
        if has_predictions:
            figure.supxlabel(
                f"reference: blue · {compared}: orange · tumour solid, kidney dotted · bar: 5 cm", fontsize=8
            )
        else:
            figure.supxlabel("tumour solid, kidney dotted · bar: 5 cm", fontsize=8)
    return png_of(figure)


def label_decades(axis: Axis, limits: tuple[float, float]) -> None:
    """Plain numbers along a logarithmic axis, few enough that they do not run into each other."""
    ratio = limits[1] / limits[0]
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 200 else (1,), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _draw_section(axes: Axes, section: Section) -> None:
    picture = section.picture
    axes.imshow(picture, cmap="gray", vmin=_WINDOW_HU[0], vmax=_WINDOW_HU[1], interpolation="bilinear")
    for labels, color in ((section.reference, _REFERENCE_COLOR), (section.prediction, _PREDICTION_COLOR)):
        if labels is None:
            continue
        for values, style in (((Label.KIDNEY, Label.TUMOR, Label.CYST), ":"), ((Label.TUMOR,), "-")):
            mask = np.isin(labels, values)
            if mask.any() and not mask.all():
                axes.contour(mask, levels=[0.5], colors=[color], linewidths=1.1, linestyles=[style])
    height, width = picture.shape
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.text(width * 0.02, height / 2, section.sides[0], color="white", va="center", fontsize=8)
    axes.text(width * 0.98, height / 2, section.sides[1], color="white", va="center", ha="right", fontsize=8)
    axes.plot([width * 0.04, width * 0.04 + 50 / section.mm_per_pixel], [height * 0.95] * 2, color="white", lw=2)


def _canvas(width_in: float, height_in: float) -> tuple[Figure, Axes]:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_in, height_in), layout="constrained")
        return figure, figure.subplots()


def png_of(figure: Figure) -> bytes:
    """A figure as PNG bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
