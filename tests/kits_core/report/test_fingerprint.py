from io import BytesIO

import matplotlib.image as mpimg
import numpy as np
import pandas as pd
import pytest

from kits_core.report.fingerprint import PROPERTIES, distributions, outliers


def _frame(cases=40, **columns):
    rng = np.random.default_rng(5)
    values = {
        "slices": rng.integers(60, 240, cases),
        "slice_mm": rng.choice([1.0, 3.0, 5.0], cases),
        "in_plane_mm": rng.uniform(0.6, 0.95, cases),
        "height_mm": rng.uniform(300, 500, cases),
        "hu_p0.5": np.full(cases, -1024.0),
        "hu_p75": rng.uniform(-90, 50, cases),
        "hu_p99.5": rng.uniform(250, 400, cases),
        "kidney_ml": rng.lognormal(5.8, 0.3, cases),
        "tumor_ml": rng.lognormal(3.4, 1.2, cases),
        "cyst_ml": np.where(np.arange(cases) % 2, np.nan, 4.0),
    }
    return pd.DataFrame({"case": [f"case_{n:05d}" for n in range(cases)], **values, **columns})


def test_an_even_dataset_has_no_outliers():
    assert outliers(_frame()) == []


@pytest.mark.parametrize(
    ("column", "value"), [("in_plane_mm", 3.0), ("hu_p0.5", -3024.0), ("hu_p99.5", 9000.0), ("tumor_ml", 1e-4)]
)
def test_what_lies_far_out_is_named_with_its_value_and_the_fences(column, value):
    frame = _frame()
    frame[column] = frame[column].astype(float)
    frame.loc[7, column] = value
    (found,) = outliers(frame)
    title = next(p.title for p in PROPERTIES if p.name == column)
    assert (found.case, found.title, found.value) == ("case_00007", title, value)
    assert not found.low <= value <= found.high


def test_differences_below_the_resolution_mean_nothing():
    frame = _frame()
    frame.loc[3, "hu_p0.5"] = -1020.0
    assert outliers(frame) == []


@pytest.mark.parametrize("frame", [_frame(), _frame(1), _frame(3, tumor_ml=np.nan, kidney_ml=0.0)])
def test_distributions_are_drawn_for_few_and_for_many_cases(frame):
    pixels = mpimg.imread(BytesIO(distributions(frame)))
    assert pixels[..., :3].std() > 0.05
