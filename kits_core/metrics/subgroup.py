"""Scores by subgroups of cases: tumour volume, stage, histology, phase, slice spacing, sex."""

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import pandas as pd

from kits_core.metrics.aggregate import bootstrap_interval

SUBGROUPS: Mapping[str, str] = {
    "tumor_ml": "tumour volume",
    "stage": "pathological T stage",
    "histology": "histology",
    "phase": "contrast phase",
    "slice_mm": "slice spacing",
    "sex": "sex",
}
"""The columns of a frame of cases that make subgroups, and their names for people."""

TUMOR_CUTS_ML = (10.0, 30.0, 100.0)
"""Where ranges of tumour volume end: a ball of 30 ml is 4 cm across, where stage T1b begins."""

_CUTS: Mapping[str, tuple[tuple[float, ...], str]] = {
    "tumor_ml": (TUMOR_CUTS_ML, "ml"),
    "slice_mm": ((1.0, 3.0), "mm"),
}
_UNKNOWN, _OTHERS = "unknown", "others"
_FEWEST = 3


def levels(cases: pd.DataFrame) -> pd.DataFrame:
    """Each case's subgroups as text: a frame indexed by case, with the columns of `SUBGROUPS`.

    `cases`: indexed by case; `tumor_ml` in ml and `slice_mm` (the largest distance of voxel centres along an axis) in
    mm are numbers, the rest text; unknown values are None or NaN. Volumes and spacings are cut into fixed ranges, the
    same for all data. Texts that fewer than three cases have are merged into one.
    """
    found = pd.DataFrame(index=cases.index)
    for name in SUBGROUPS:
        column = cases[name]
        if name in _CUTS:
            cuts, unit = _CUTS[name]
            names = range_names(cuts, unit)
            texts = pd.cut(column.astype(float), [-np.inf, *cuts, np.inf], labels=names).astype(object)
        else:
            counts = column.value_counts()
            rare = set(counts[counts < _FEWEST].index)
            texts = column.where(~column.isin(rare), _OTHERS) if len(rare) > 1 else column
        found[name] = texts.astype(object).where(column.notna(), _UNKNOWN)
    return found


def range_names(cuts: tuple[float, ...], unit: str) -> list[str]:
    """The ranges between `cuts` for people, the smallest first."""
    between = [f"{low:g}-{high:g} {unit}" for low, high in pairwise(cuts)]
    return [f"up to {cuts[0]:g} {unit}", *between, f"over {cuts[-1]:g} {unit}"]


def by_subgroup(scores: pd.DataFrame, cases: pd.DataFrame, ceilings: pd.DataFrame) -> pd.DataFrame:
    """Dice, a row per region, subgroup and level: `region, subgroup, level, cases, mean, low, high, ceiling`.

    `scores`: a frame as `aggregate` has it; `cases`: as `levels` takes it; `ceilings`: Dice of a perfect model, columns
    `case, region, value`, NaN in the answer where there is none. Where all cases are of one level, a subgroup says
    nothing and is left out.
    """
    chosen = scores[(scores["metric"] == "dice") & scores["value"].notna()]
    by_subgroup_name = levels(cases)
    rows = []
    for region, group in chosen.groupby("region", sort=False):
        values = group.set_index("case")["value"]
        best = ceilings[ceilings["region"] == region].set_index("case")["value"].reindex(values.index)
        for name in SUBGROUPS:
            here = by_subgroup_name[name].reindex(values.index).fillna(_UNKNOWN)
            if here.nunique() < 2:
                continue
            for level in _in_order(name, here):
                some = values[here == level].to_numpy(dtype=float)
                low, high = bootstrap_interval(some)
                rows.append((region, name, level, some.size, some.mean(), low, high, best[here == level].mean()))
    return pd.DataFrame(rows, columns=["region", "subgroup", "level", "cases", "mean", "low", "high", "ceiling"])


def _in_order(name: str, here: pd.Series) -> list[str]:
    """Ranges from small to large, texts in alphabetical order, all others at the end."""
    ranges = range_names(*_CUTS[name]) if name in _CUTS else []
    rank = {level: place for place, level in enumerate(ranges)} | {_OTHERS: len(ranges) + 1, _UNKNOWN: len(ranges) + 2}
    return sorted(here.unique(), key=lambda level: (rank.get(level, len(ranges)), str(level)))
