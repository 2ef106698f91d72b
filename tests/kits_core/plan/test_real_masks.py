"""Plans of real KiTS23 segmentations; `tests/benchmarks/real_plans.py` does all 40."""

import json

import pytest
from real_plans import plan_mask


@pytest.mark.parametrize("case", ["case_00010", "case_00580", "case_00588"])
def test_a_plan_of_a_real_mask_has_closed_surfaces_and_about_the_radiologists_diameter(real_masks, case):
    values, wrong, surfaces = plan_mask(real_masks / case)
    assert wrong == []
    assert surfaces >= 3
    records = json.loads((real_masks / "kits23.json").read_text(encoding="utf-8"))
    (size_cm,) = [record["radiographic_size"] for record in records if record["case_id"] == case]
    assert values["axial_diameter_mm"] == pytest.approx(10 * size_cm, abs=15)
