from kits_core.labels import KIDNEY_AND_MASS, MASS, OFFICIAL_REGIONS, REGIONS, TUMOR, Label


def test_official_regions_are_nested_and_carry_the_official_tolerances():
    assert set(TUMOR.labels) < set(MASS.labels) < set(KIDNEY_AND_MASS.labels)
    assert [r.tolerance_mm for r in OFFICIAL_REGIONS] == [1.0330772532390826, 1.1328796488598762, 1.1498198361434828]


def test_names_are_unique_and_no_region_scores_background():
    assert len({r.name for r in REGIONS}) == len(REGIONS)
    assert all(Label.BACKGROUND not in r.labels for r in REGIONS)
