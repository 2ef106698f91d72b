"""Real masks, spoilt as models spoil them, against the package that the challenge uses and SciPy's distance transform.

`tests/benchmarks/bench_score.py` does the same with all 40 masks and 200 pairs.
"""

import pytest
from bench_score import hausdorff, official
from masks import read_mask, spoilt

from kits_core.metrics.case import score_case


@pytest.mark.parametrize("case", ["case_00436", "case_00463"])
def test_dice_and_surface_dice_are_official_and_hausdorff_is_exact(real_masks, case):
    reference, spacing, _ = read_mask(real_masks / case)
    names = []
    for name, prediction in spoilt(reference, 5):
        ours = {(s.region, s.metric): s.value for s in score_case(prediction, reference, spacing)}
        for key, value in official(prediction, reference, spacing).items():
            assert ours[key] == pytest.approx(value, abs=1e-9), (name, key)
        for region, value in (hausdorff(prediction, reference, spacing) if prediction.any() else {}).items():
            assert ours[region, "hausdorff_mm"] == pytest.approx(value, abs=1e-6), (name, region)
        names.append(name)
    assert len(names) == 6
