import pytest

from kits_core.plan.renal import renal_score

VALUES = {
    "diameter_mm": 30.0,
    "exophytic_fraction": 0.6,
    "sinus_distance_mm": 12.0,
    "above_fraction": 1.0,
    "below_fraction": 0.0,
    "across_middle_fraction": 0.0,
    "anterior_fraction": 0.9,
}


def points(**changed):
    score = renal_score(VALUES | changed)
    return {component.letter: component.points for component in score.components}


def test_the_simplest_tumour_has_four_points():
    score = renal_score(VALUES)
    assert (score.total, score.complexity, str(score)) == (4, "low", "4a")


@pytest.mark.parametrize(("mm", "expected"), [(40.0, 1), (40.1, 2), (69.9, 2), (70.0, 3)])
def test_radius(mm, expected):
    assert points(diameter_mm=mm)["R"] == expected


@pytest.mark.parametrize(("share", "expected"), [(0.5, 1), (0.49, 2), (0.02, 2), (0.0, 3)])
def test_exophytic(share, expected):
    assert points(exophytic_fraction=share)["E"] == expected


@pytest.mark.parametrize(("mm", "expected"), [(7.0, 1), (6.9, 2), (4.1, 2), (4.0, 3), (0.0, 3)])
def test_nearness(mm, expected):
    assert points(sinus_distance_mm=mm)["N"] == expected


@pytest.mark.parametrize(
    ("above", "below", "across", "expected"),
    [(1.0, 0, 0, 1), (0, 1.0, 0, 1), (0.7, 0, 0, 2), (0, 0.6, 0, 2), (0.4, 0, 0, 3), (0, 0, 0, 3), (0.7, 0, 0.1, 3)],
)
def test_location(above, below, across, expected):
    changed = {"above_fraction": above, "below_fraction": below, "across_middle_fraction": across}
    assert points(**changed)["L"] == expected


@pytest.mark.parametrize(("share", "face"), [(0.6, "a"), (0.5, "x"), (0.4, "p")])
def test_face(share, face):
    assert renal_score(VALUES | {"anterior_fraction": share}).face == face


def test_what_is_unknown_stays_unknown_and_there_is_no_total():
    score = renal_score(VALUES | {"sinus_distance_mm": None, "above_fraction": None, "below_fraction": None})
    unknown = [component.letter for component in score.components if component.points is None]
    assert (unknown, score.total, score.complexity, score.hilar) == (["N", "L"], None, None, None)
    assert str(score) == "?a"


def test_the_most_complex_tumour_has_twelve():
    worst = {"diameter_mm": 90.0, "exophytic_fraction": 0.0, "sinus_distance_mm": 0.0, "above_fraction": 0.0}
    score = renal_score(VALUES | worst | {"across_middle_fraction": 0.5})
    assert (score.total, score.complexity) == (12, "high")
