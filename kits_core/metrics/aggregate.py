"""From the scores of cases to the scores of a model.

A frame of scores is long: one row a value, columns `case, region, metric, value, status`, and `diagonal_mm`, the
diagonal of the case's image. In `penalised_mean` it replaces a distance that could not be measured.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kits_core.labels import OFFICIAL_REGIONS
from kits_core.metrics.known import BY_NAME
from kits_core.metrics.score import Score, Status

_DRAWS = 2000

WINNER_DICE, WINNER_SURFACE_DICE = 0.835, 0.723
"""Mean Dice and surface Dice of the KiTS23 challenge's winner over the three official regions, on the 110 cases of its
hidden test set (Myronenko et al. 2023, arXiv:2310.04110; https://kits-challenge.org/kits23/)."""


@dataclass(frozen=True)
class OfficialSummary:
    """Means over the three official regions of the means over `cases` cases, as the challenge ranks by."""

    cases: int
    dice: float
    surface_dice: float


def score_frame(scores: Mapping[str, Iterable[Score]], diagonals_mm: Mapping[str, float]) -> pd.DataFrame:
    """A frame of the scores of each case."""
    return pd.DataFrame(
        [
            (case, score.region, score.metric, score.value, str(score.status), diagonals_mm[case])
            for case, values in scores.items()
            for score in values
        ],
        columns=["case", "region", "metric", "value", "status", "diagonal_mm"],
    ).astype({"value": float, "diagonal_mm": float})


def diagonal_mm(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> float:
    """From the first voxel's outer corner to the last one's, in mm: no two points of the image are farther apart."""
    return float(np.linalg.norm(np.multiply(shape, spacing_mm)))


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per region and metric of a frame of scores.

    Columns: `cases`, `mean`, `low`, `high` (95 % bootstrap interval of the mean over cases, percentile method, Efron
    1979, seeded), `median`, `q25`, `q75`, `failures` (distances that have no value though one of the masks is not
    empty) and `penalised_mean` (each of those as the image's diagonal; NaN for what is not a distance). A region that
    is empty in both masks has no distance and is no failure.
    """
    rows = []
    for (region, metric), group in scores.groupby(["region", "metric"], sort=False):
        values = group["value"].dropna().to_numpy(dtype=float)
        failed = _failed(group) if BY_NAME[str(metric)].kind == "distance" else np.zeros(len(group), np.bool_)
        low, high = bootstrap_interval(values)
        rows.append(
            {
                "region": region,
                "metric": metric,
                "cases": len(group),
                "mean": values.mean() if values.size else np.nan,
                "low": low,
                "high": high,
                "median": np.median(values) if values.size else np.nan,
                "q25": np.percentile(values, 25) if values.size else np.nan,
                "q75": np.percentile(values, 75) if values.size else np.nan,
                "failures": int(failed.sum()),
                "penalised_mean": _penalised(group, failed) if BY_NAME[str(metric)].kind == "distance" else np.nan,
            }
        )
    return pd.DataFrame(rows)


def official_summary(scores: pd.DataFrame) -> OfficialSummary:
    """The two numbers that the challenge ranks by, from a frame of scores; NaN where a region has none."""
    means = scores.groupby(["metric", "region"])["value"].mean()
    dice, surface = (
        float(means.reindex([(metric, region.name) for region in OFFICIAL_REGIONS]).mean(skipna=False))
        for metric in ("dice", "surface_dice")
    )
    return OfficialSummary(scores["case"].nunique(), dice, surface)


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean; NaN for fewer than two values."""
    if values.size < 2:
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).choice(values, size=(_DRAWS, values.size))
    low, high = np.percentile(draws.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _failed(group: pd.DataFrame) -> np.ndarray:
    return (group["value"].isna() & (group["status"] != Status.BOTH_EMPTY)).to_numpy()


def _penalised(group: pd.DataFrame, failed: np.ndarray) -> float:
    counted = pd.Series(np.where(failed, group["diagonal_mm"], group["value"]), dtype=float)
    return float(counted.mean())  # NaN where there are no cases
