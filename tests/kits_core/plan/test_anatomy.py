import numpy as np
import pytest

from kits_core.geometry import Volume
from kits_core.labels import Label
from kits_core.plan.anatomy import find_anatomy

SPACING = (2.0, 2.0, 2.0)


def anatomy(phantom, *solids):
    return find_anatomy(phantom.paint(SPACING, solids))


def test_larger_indices_are_the_patients_right_wherever_the_scan_lies(phantom):
    volume = phantom.paint(SPACING, [(1, (60, 0, 0), 25), (1, (-60, 0, 0), 20), (2, (-60, 20, 0), 8)])
    affine = volume.affine.copy()
    affine[0, 3] += 900
    found = find_anatomy(Volume(volume.data, affine))
    assert [kidney.side for kidney in found.kidneys] == ["left", "right"]
    left = found.kidneys[0]
    assert len(left.tumors) == 1
    # Patient coordinates of DICOM grow to the left: 840 mm to the right are -840.
    centre = left.patch.to_lps(np.argwhere(left.mask(Label.KIDNEY)) * np.array(left.patch.spacing_mm)).mean(axis=0)
    assert centre == pytest.approx([-840, 0, 0], abs=2)
    assert found.remarks == ()


@pytest.mark.parametrize(("body_mm", "side"), [(slice(5, 60), "right"), (slice(50, 118), "left")])
def test_of_one_kidney_alone_the_image_tells_the_side(phantom, body_mm, side):
    labels = phantom.paint(SPACING, [(1, (-10, 0, 0), 20)])
    body = np.full(labels.shape, -1000, np.int16)
    body[body_mm, 5:60, :] = 40
    found = find_anatomy(labels, Volume(body, labels.affine))
    assert [kidney.side for kidney in found.kidneys] == [side]
    other = {"left": "right", "right": "left"}[side]
    assert found.remarks == (f"No {other} kidney was found.", "No tumour was found.")


def test_kidneys_that_hang_together_across_the_middle_are_called_fused(phantom):
    bridge = (1, (0, 0, -10), (60, 12, 12))
    found = anatomy(phantom, (1, (50, 0, 0), 25), (1, (-50, 0, 0), 25), bridge, (2, (50, 25, 0), 8))
    (kidney,) = found.kidneys
    assert (kidney.side, len(kidney.tumors)) == ("fused", 1)
    assert found.remarks == ("The kidneys hang together across the middle: measured as one, called fused.",)


def test_a_kidney_in_two_parts_and_what_lies_between_them_are_one(phantom):
    parts = (1, (60, 0, 0), (25, 25, 55)), (2, (60, 0, 0), (35, 35, 20))
    found = anatomy(phantom, *parts, (1, (-60, 0, 0), 30), (3, (60, 0, 50), 8))
    left, right = found.kidneys
    assert (len(left.tumors), len(right.tumors)) == (0, 1)
    assert right.mask(3).any()
    assert not left.mask(3).any()


def test_a_mass_beyond_the_middle_belongs_to_the_kidney_next_to_it(phantom):
    found = anatomy(phantom, (1, (60, 0, 0), 25), (1, (-60, 0, 0), 25), (2, (10, 0, 0), 24))
    assert [len(kidney.tumors) for kidney in found.kidneys] == [0, 1]


def test_specks_are_left_out_and_said(phantom):
    kidneys = (1, (60, 0, 0), 25), (1, (-60, 0, 0), 25)
    found = anatomy(phantom, *kidneys, (2, (60, 20, 0), 6), (2, (60, -20, 10), 2))
    assert sum(len(kidney.tumors) for kidney in found.kidneys) == 1
    assert 0 < found.specks_ml < 0.05
    (remark,) = found.remarks
    assert remark.startswith("Specks of tumour")


@pytest.mark.parametrize("x", [60, -60, 0])
def test_a_mass_without_a_kidney_has_no_side_wherever_it_lies(phantom, x):
    found = anatomy(phantom, (2, (x, 0, 0), 20), (3, (-x, 0, 30), 10))
    (lone,) = found.kidneys
    assert (lone.side, len(lone.tumors)) == ("none", 1)
    assert lone.mask(3).any()
    assert found.remarks == ("No kidney was found, so that nothing has a side.",)


def test_a_speck_far_from_every_kidney_makes_no_group_of_its_own(phantom):
    found = anatomy(phantom, (1, (60, 0, 0), 25), (1, (-60, 0, 0), 25), (2, (0, 0, 60), 2))
    assert [kidney.side for kidney in found.kidneys] == ["left", "right"]


@pytest.mark.parametrize(("x", "side"), [(0, "left"), (40, "none")])
def test_a_mass_far_from_the_only_kidney_is_not_put_on_its_side(phantom, x, side):
    """A kidney on the left, whose surface ends at -35; the mass begins 10 mm before its centre `x`."""
    found = anatomy(phantom, (1, (-60, 0, 0), 25), (2, (x, 0, 0), 10))
    assert [kidney.side for kidney in found.kidneys if kidney.tumors] == [side]
    assert found.kidneys[0].side == "left"
    said = [remark for remark in found.remarks if remark.endswith("mm from any kidney, and have no side.")]
    assert len(said) == (side == "none")


def test_of_nothing_there_is_no_anatomy(phantom):
    assert anatomy(phantom) is None


def test_a_map_that_is_nothing_but_labels_stays_as_it_is_and_both_kidneys_are_found(phantom):
    """Boxes that span the whole map must not be the map itself."""
    labels = np.full((40, 20, 20), phantom.KIDNEY, np.uint8)
    labels[18:22] = phantom.NOTHING
    labels[0, 0, 0] = labels[-1, -1, -1] = phantom.TUMOR
    before = labels.copy()
    found = find_anatomy(Volume(labels, np.diag([4.0, 4.0, 4.0, 1.0])))
    assert (labels == before).all()
    assert [kidney.side for kidney in found.kidneys] == ["left", "right"]
    assert sum(int((kidney.patch.labels > 0).sum()) for kidney in found.kidneys) == int((before > 0).sum())


def test_of_very_many_tumours_the_largest_are_measured_and_that_is_said(phantom):
    labels = np.zeros((60, 60, 60), np.uint8)
    labels[5:50, 5:50, 5:50] = phantom.KIDNEY
    labels[8:48:8, 8:48:8, 8:48:8] = phantom.TUMOR
    found = find_anatomy(Volume(labels, np.diag([4.0, 4.0, 4.0, 1.0])))
    assert sum(len(kidney.tumors) for kidney in found.kidneys) == 20
    assert any(remark.startswith("All but the 20 largest tumours were left out") for remark in found.remarks)
