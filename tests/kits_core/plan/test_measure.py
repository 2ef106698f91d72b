"""Every measurement against its closed form, within 2 % or 0.5 mm.

Of a share or an area, 0.5 mm is what it changes by when the plane or the rim that bounds it moves by as much.
"""

import numpy as np
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform

from kits_core.geometry import Volume
from kits_core.plan.plan import make_plan
from kits_core.plan.surfaces import surfaces_of

R, T, S = 40.0, 15.0, 18.0  # radii: kidney, tumour, the notch that is its sinus
OUT, IN = 42.0, 34.0  # from the kidney's centre: the tumour's to the side, the notch's to the middle
SPACINGS = [(1.0, 1.0, 1.0), (0.8, 0.8, 3.0), (0.9, 0.7, 0.5)]


def cap(radius, height):
    return np.pi * height**2 * (3 * radius - height) / 3


def lens(a, b, distance):
    """What two balls share."""
    plane = (distance**2 + a**2 - b**2) / (2 * distance)
    return cap(a, a - plane) + cap(b, b - (distance - plane))


def two_kidneys(phantom, spacing, side):
    """A kidney each side; at the outside of one a tumour, at its inside a notch."""
    sign = 1 if side == "right" else -1
    centre = np.array([sign * 60.3, 0.1, 0.4])
    return phantom.paint(
        spacing,
        [
            (phantom.KIDNEY, centre, R),
            (phantom.KIDNEY, -centre, R),
            (phantom.NOTHING, centre - [sign * IN, 0, 0], S),
            (phantom.TUMOR, np.add(centre, [sign * OUT, 0, 0]), T),
        ],
    )


def values_of(plan, number=1):
    (tumor,) = [tumor for _, tumor in plan.tumors if tumor.measured.number == number]
    return tumor.measured.by_name


def close(got, expected, absolute=0.5):
    assert got == pytest.approx(expected, rel=0.02, abs=absolute)


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_ball_at_a_ball(phantom, spacing, side):
    plan = make_plan("case", two_kidneys(phantom, spacing, side))
    assert [kidney.side for kidney in plan.kidneys] == ["left", "right"]
    ((kidney, _),) = plan.tumors
    assert kidney.side == side
    got = values_of(plan)
    volume = 4 / 3 * np.pi * T**3
    plane = (OUT**2 + R**2 - T**2) / (2 * OUT)  # of the circle in which both balls meet, from the kidney's centre
    close(got["volume_ml"], volume / 1000, 0)
    close(got["diameter_mm"], 2 * T)
    close(got["axial_diameter_mm"], 2 * T)
    share = 0.5 * np.pi * T**2 / volume  # what a plane through the tumour sweeps in 0.5 mm
    close(got["exophytic_fraction"], cap(T, T + OUT - plane) / volume, share)
    rim = 2 * np.pi * np.sqrt(T**2 - (OUT - plane) ** 2)
    close(got["contact_mm2"], 2 * np.pi * T * (T - (OUT - plane)), 0.5 * rim)
    close(got["sinus_distance_mm"], OUT + IN - T - S)
    close(got["across_middle_fraction"], 0.5, share)
    close(got["anterior_fraction"], 0.5, share)
    assert (got["above_fraction"], got["below_fraction"]) == (pytest.approx(0, abs=share),) * 2
    notch = lens(R, S, IN)
    for margin in (0, 5, 10):
        left = 4 / 3 * np.pi * R**3 - notch - lens(R, T + margin, OUT)
        close(got[f"parenchyma_left_{margin}mm_ml"], left / 1000, 0)
    close(kidney.by_name["parenchyma_ml"], (4 / 3 * np.pi * R**3 - notch - lens(R, T, OUT)) / 1000, 0)
    other = next(k for k in plan.kidneys if k.side != side)
    close(other.by_name["length_mm"], 2 * R)
    assert (got["cyst_distance_mm"], got["tumor_distance_mm"]) == (None, None)


# Slices 3 mm apart that miss both poles of a ball leave 0.75 mm of doubt about its height.
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 2.0), (0.9, 0.7, 0.5)], ids=str)
def test_two_tumours_and_a_cyst_in_one_kidney(phantom, spacing):
    solids = [
        (phantom.KIDNEY, (60, 0, 0), (30, 25, 55)),
        (phantom.KIDNEY, (-60, 0, 0), (30, 25, 55)),
        (phantom.TUMOR, (60, 0, 22.7), 10),
        (phantom.TUMOR, (60, 0, -23.3), 14),
        (phantom.CYST, (60, 0, 42.7), 6),
    ]
    plan = make_plan("case", phantom.paint(spacing, solids))
    assert [tumor.name for _, tumor in plan.tumors] == ["tumor_1", "tumor_2"]
    large, small = values_of(plan, 1), values_of(plan, 2)
    close(large["diameter_mm"], 28)
    close(small["diameter_mm"], 20)
    for values in (large, small):
        close(values["tumor_distance_mm"], 46 - 24)
        assert values["exophytic_fraction"] < 0.01
    close(small["cyst_distance_mm"], 20 - 16)
    close(large["contact_mm2"], 4 * np.pi * 14**2, 0)
    right = next(kidney for kidney in plan.kidneys if kidney.side == "right").by_name
    close(right["tumor_ml"], 4 / 3 * np.pi * (10**3 + 14**3) / 1000, 0)
    close(right["cyst_ml"], 4 / 3 * np.pi * 6**3 / 1000, 0.04)
    assert large["across_middle_fraction"] == 0


@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
def test_an_ellipsoid_is_as_long_as_its_longest_axis_and_in_a_slice_as_its_longest_there(phantom, spacing):
    solids = [(phantom.KIDNEY, (-60, 0, 0), 40), (phantom.TUMOR, (-60, 0, 45), (12, 18, 27))]
    got = values_of(make_plan("case", phantom.paint(spacing, solids, size_mm=(220, 130, 170))))
    close(got["diameter_mm"], 54)
    close(got["axial_diameter_mm"], 36)


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ((60, 0, 36), {"above": 1, "below": 0, "across_middle": 0, "anterior": 0.5}),
        ((60, 0, -36), {"above": 0, "below": 1, "across_middle": 0, "anterior": 0.5}),
        ((60, 38, 0), {"above": 0, "below": 0, "across_middle": 0.5, "anterior": 1}),
        ((60, -38, 0), {"above": 0, "below": 0, "across_middle": 0.5, "anterior": 0}),
    ],
)
def test_above_and_below_the_sinus_in_front_and_behind(phantom, at, expected):
    """A ball with a notch from -15 to 15 mm; tumours over, under, before and behind it."""
    centre = np.array([60.0, 0, 0])
    kidney = [(phantom.KIDNEY, centre, R), (phantom.KIDNEY, -centre, R), (phantom.NOTHING, centre - [IN, 0, 0], 15)]
    got = values_of(make_plan("case", phantom.paint((1, 1, 1), [*kidney, (phantom.TUMOR, at, 8)])))
    assert {name: got[f"{name}_fraction"] for name in expected} == pytest.approx(expected, abs=0.03)


def test_what_cannot_be_measured_says_why(phantom):
    plan = make_plan("case", phantom.paint((2, 2, 2), [(phantom.TUMOR, (60, 0, 0), 20)]))
    ((_, tumor),) = plan.tumors
    reasons = {value.name: value.why_none for value in tumor.measured.values if value.value is None}
    without = {reasons[name] for name in ("exophytic_fraction", "sinus_distance_mm", "cyst_distance_mm")}
    assert without == {"no kidney beside it"}
    assert tumor.renal.total is None
    assert str(tumor.renal) == "??"


def test_a_mass_without_a_kidney_has_no_side_in_rows_json_and_words(phantom):
    plan = make_plan("case", phantom.paint((2, 2, 2), [(phantom.TUMOR, (-30, 0, 0), 20)]))
    assert {(row.structure, row.side) for row in plan.rows()} == {("no_kidney", "none"), ("tumor_1", "none")}
    found = plan.to_json()
    assert [(kidney["name"], kidney["side"]) for kidney in found["kidneys"]] == [("no_kidney", "none")]
    assert [tumor["side"] for tumor in found["tumors"]] == ["none"]
    assert found["remarks"] == ["No kidney was found, so that nothing has a side."]
    assert [surface.title for surface in surfaces_of(plan)] == ["tumour 1 (no side)"]
    assert plan.doubts == []
    (row,) = [row for row in plan.rows() if row.name == "tumor_ml"]
    close(row.value, 4 / 3 * np.pi * 20**3 / 1000)


def test_the_order_of_a_files_axes_changes_no_value_and_no_point_in_the_patient(phantom):
    volume = two_kidneys(phantom, (1.5, 1.5, 3.0), "left")
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt("IPL"))
    data = np.ascontiguousarray(apply_orientation(volume.data, turn))
    turned = Volume(data, volume.affine @ inv_ornt_aff(turn, volume.shape))
    assert turned.orientation == "IPL"
    assert make_plan("case", turned).to_json() == make_plan("case", volume).to_json()
