"""From the scores of cases to the scores of a model."""

import numpy as np
import pandas as pd

_DRAWS = 2000


def summarise(scores: pd.DataFrame) -> pd.DataFrame:
    """One row per region and metric of a long frame with columns `case, region, metric, value, status`.

    Columns: `cases`, `mean`, `low`, `high` (95 % bootstrap interval of the mean over cases, percentile method, Efron
    1979, seeded), `median`, `q25`, `q75`, and `failures` (cases without a value).
    """
    rows = []
    for (region, metric), group in scores.groupby(["region", "metric"], sort=False):
        values = group["value"].dropna().to_numpy(dtype=float)
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
                "failures": int(group["value"].isna().sum()),
            }
        )
    return pd.DataFrame(rows)


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean; NaN for fewer than two values."""
    if values.size < 2:
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).choice(values, size=(_DRAWS, values.size))
    low, high = np.percentile(draws.mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
