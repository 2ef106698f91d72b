"""Two sets of scores of the same cases, pair by pair."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kits_core.errors import KitsError
from kits_core.metrics.aggregate import bootstrap_interval
from kits_core.metrics.known import BY_NAME

_KEY = ["case", "region", "metric"]


@dataclass(frozen=True, eq=False)
class Comparison:
    """What changed from one set of scores to another.

    `pairs`: columns `case, region, metric, first, second, gain`: the gain is positive where the second is better, which
    for a distance is the smaller. `summary`: one row per region and metric: `pairs`, `first` and `second` (means over
    the pairs), `gain` (mean) with its 95 % bootstrap interval `low`, `high`, `better`, `worse`, `equal` (cases) and `p`
    (Wilcoxon's signed-rank test, two-sided; NaN where no pair differs); `lost`, `won`: cases in which only the first,
    or only the second, has a value: where nothing was found there is no distance. `unpaired`: cases that only one side
    has.
    """

    pairs: pd.DataFrame
    summary: pd.DataFrame
    unpaired: tuple[str, ...]


def compare(first: pd.DataFrame, second: pd.DataFrame) -> Comparison:
    """Compare two frames of scores (see `aggregate`), volumes left out.

    A pair where one side has no value is left out of its metric's means and counted as lost or won. Raises `KitsError`
    where no case is on both sides.
    """
    sides = [frame[frame["metric"].map(lambda name: BY_NAME[name].kind != "volume")] for frame in (first, second)]
    names = [set(frame["case"]) for frame in sides]
    if not names[0] & names[1]:
        raise KitsError(
            f"expected cases that are on both sides, got {len(names[0])} and {len(names[1])} with none in common; "
            "compare evaluations of the same split"
        )
    merged = sides[0].merge(sides[1], on=_KEY, suffixes=("_first", "_second"), sort=False)
    both = merged[[*_KEY, "value_first", "value_second"]]
    both.columns = pd.Index([*_KEY, "first", "second"])
    pairs = both.dropna()
    sign = np.where(pairs["metric"].map(lambda name: BY_NAME[name].kind == "distance"), -1.0, 1.0)
    pairs = pairs.assign(gain=sign * (pairs["second"] - pairs["first"])).reset_index(drop=True)
    one_sided = both[both["first"].isna() != both["second"].isna()].groupby(_KEY[1:])
    lost, won = (one_sided[side].count().to_dict() for side in ("first", "second"))
    valued = both.dropna(subset=["first", "second"], how="all")[_KEY[1:]].drop_duplicates()
    rows = [
        _row(region, metric, pairs[(pairs["region"] == region) & (pairs["metric"] == metric)])
        | {"lost": lost.get((region, metric), 0), "won": won.get((region, metric), 0)}
        for region, metric in valued.itertuples(index=False)
    ]
    return Comparison(pairs, pd.DataFrame(rows), tuple(sorted(names[0] ^ names[1])))


def _row(region: str, metric: str, group: pd.DataFrame) -> dict[str, object]:
    from scipy.stats import wilcoxon  # noqa: PLC0415 - half a second

    gain = group["gain"].to_numpy(dtype=float)
    low, high = bootstrap_interval(gain)
    return {
        "region": region,
        "metric": metric,
        "pairs": gain.size,
        "first": group["first"].mean(),
        "second": group["second"].mean(),
        "gain": group["gain"].mean(),
        "low": low,
        "high": high,
        "better": int((gain > 0).sum()),
        "worse": int((gain < 0).sum()),
        "equal": int((gain == 0).sum()),
        "p": float(wilcoxon(gain).pvalue) if (gain != 0).any() else np.nan,
    }
