"""A dataset's fingerprint: the distribution of each property that decides how it can be used, and the outliers."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from kits_core.report.style import label_decades, png_of, style

_FAR_OUT = 3.0
_COLUMNS = 3


@dataclass(frozen=True)
class Property:
    """A column of the fingerprint, and its title for people.

    `resolution`: a difference that means nothing, in the column's unit, or as a share of the value where that is
    looked at on a logarithmic scale.
    """

    name: str
    title: str
    resolution: float
    logarithmic: bool = False


PROPERTIES: tuple[Property, ...] = (
    Property("slices", "slices", 0.2, logarithmic=True),
    Property("slice_mm", "distance of slices, mm", 0.5),
    Property("in_plane_mm", "in-plane spacing, mm", 0.1),
    Property("height_mm", "height of the scan, mm", 50.0),
    Property("hu_p0.5", "HU, 0.5th percentile", 30.0),
    Property("hu_p75", "HU, 75th percentile", 50.0),
    Property("hu_p99.5", "HU, 99.5th percentile", 30.0),
    Property("kidney_ml", "kidney, ml", 0.2, logarithmic=True),
    Property("tumor_ml", "tumour, ml", 0.2, logarithmic=True),
    Property("cyst_ml", "cysts, ml", 0.2, logarithmic=True),
)
"""Columns that `distributions` and `outliers` take from a frame with one row a case, the case's name in `case`."""


@dataclass(frozen=True)
class Outlier:
    """A case that stands far from the others. `low`, `high`: the fences that its value lies outside."""

    case: str
    title: str
    value: float
    low: float
    high: float


def outliers(frame: pd.DataFrame) -> list[Outlier]:
    """Cases that lie "far out" in some property: more than 3 interquartile ranges beyond a quartile.

    After Tukey, Exploratory Data Analysis, 1977; of the logarithm where a property is spread over decades, and with the
    property's resolution where the quartiles lie closer than that. Missing values and empty organs stand out nowhere.
    In the order of the properties, the largest value of each first.
    """
    found = []
    for column in PROPERTIES:
        values = _values(frame, column).sort_values(ascending=False)
        if values.empty:
            continue
        low, high = _fences(values.to_numpy(), column)
        found += [
            Outlier(str(frame.loc[row, "case"]), column.title, float(value), low, high)
            for row, value in values.items()
            if not low <= value <= high
        ]
    return found


def _fences(values: NDArray[np.float64], column: Property) -> tuple[float, float]:
    scaled = np.log(values) if column.logarithmic else values
    first, third = np.percentile(scaled, (25, 75))
    reach = _FAR_OUT * max(float(third - first), column.resolution)
    low, high = float(first) - reach, float(third) + reach
    return (float(np.exp(low)), float(np.exp(high))) if column.logarithmic else (low, high)


def distributions(frame: pd.DataFrame) -> bytes:
    """A histogram of every property that some case has, a stroke a case below it, as PNG."""
    shown = [column for column in PROPERTIES if not _values(frame, column).empty]
    rows = max(1, -(-len(shown) // _COLUMNS))
    with mpl.rc_context(style()):
        figure = Figure(figsize=(9.0, 2.3 * rows), layout="constrained")
        grid = np.atleast_1d(np.asarray(figure.subplots(rows, _COLUMNS))).ravel()
        for axes, column in zip(grid, shown, strict=False):
            values = _values(frame, column)
            limits = _limits(values, column)
            bins = _bins(limits, len(values), column)
            axes.hist(values, bins=bins, color="#0173b2", alpha=0.55, linewidth=0.4, edgecolor="black")
            axes.vlines(values, 0, 0.06, transform=axes.get_xaxis_transform(), color="black", alpha=0.6, lw=0.7)
            if column.logarithmic:
                axes.set_xscale("log")
                label_decades(axes.xaxis, limits)
            else:
                axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.set(xlabel=column.title, ylabel="cases" if axes is grid[0] else "")
        for axes in grid[len(shown) :]:
            axes.set_visible(False)
    return png_of(figure)


def _values(frame: pd.DataFrame, column: Property) -> "pd.Series[float]":
    values = frame[column.name].dropna().astype(float)
    return values[values > 0] if column.logarithmic else values


def _limits(values: "pd.Series[float]", column: Property) -> tuple[float, float]:
    """Where the histogram starts and ends: wide enough that meaningless differences do not look large."""
    low, high = float(values.min()), float(values.max())
    margin = 2 * column.resolution
    if column.logarithmic:
        middle, half = np.sqrt(low * high), max(np.sqrt(high / low), np.exp(margin))
        return float(middle / half), float(middle * half)
    middle, half = (low + high) / 2, max((high - low) / 2, margin)
    return middle - half, middle + half


def _bins(limits: tuple[float, float], cases: int, column: Property) -> list[float]:
    count = min(24, max(6, cases // 4)) + 1
    edges = np.geomspace(*limits, count) if column.logarithmic else np.linspace(*limits, count)
    return [float(edge) for edge in edges]
