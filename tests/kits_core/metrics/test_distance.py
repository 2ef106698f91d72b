import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import binary_erosion
from scipy.spatial.distance import cdist
from surface_distance import metrics as deepmind

from kits_core.metrics.distance import hausdorff95_mm, hausdorff_mm, mean_surface_distance_mm, surface_distances_mm

SPACING = (3.0, 0.7, 0.8)


def _ball(centre, radius_mm, shape=(20, 60, 60)):
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    return (((grid - centre) * SPACING) ** 2).sum(axis=-1) <= radius_mm**2


def test_two_voxels_two_apart():
    p, r = np.zeros((5, 5, 5), bool), np.zeros((5, 5, 5), bool)
    p[1, 1, 1] = r[3, 1, 1] = True
    distances = surface_distances_mm(p, r, (2.0, 1.0, 1.0))
    assert hausdorff_mm(distances) == hausdorff95_mm(distances) == mean_surface_distance_mm(distances) == 4.0


def test_a_cube_shifted_by_one():
    p, r = np.zeros((10, 10, 10), bool), np.zeros((10, 10, 10), bool)
    p[2:6, 2:6, 2:6] = r[3:7, 2:6, 2:6] = True
    distances = surface_distances_mm(p, r, (1.5, 1.0, 1.0))
    assert hausdorff_mm(distances) == 1.5


def test_equal_masks_are_at_distance_zero():
    ball = _ball((10, 30, 30), 12)
    assert hausdorff_mm(surface_distances_mm(ball, ball, SPACING)) == 0


def test_an_empty_mask_has_no_distance():
    with pytest.raises(ValueError, match="not empty"):
        surface_distances_mm(np.zeros((3, 3, 3), bool), np.ones((3, 3, 3), bool), (1, 1, 1))


def test_hausdorff_equals_that_of_simpleitk():
    p, r = _ball((9, 28, 30), 14), _ball((11, 33, 27), 10)
    images = [sitk.GetImageFromArray(m.astype(np.uint8)) for m in (p, r)]
    for image in images:
        image.SetSpacing(SPACING[::-1])
    reference = sitk.HausdorffDistanceImageFilter()
    reference.Execute(*images)
    # SimpleITK measures from all voxels of a mask, not its surface alone; here the farthest lie on the surface.
    assert hausdorff_mm(surface_distances_mm(p, r, SPACING)) == pytest.approx(
        reference.GetHausdorffDistance(), abs=1e-6
    )


def test_hd95_is_near_that_of_an_independent_implementation():
    # surface-distance puts its points between voxels and weighs them by area: half a voxel of difference is allowed.
    p, r = _ball((9, 28, 30), 14), _ball((11, 33, 27), 10)
    theirs = deepmind.compute_robust_hausdorff(deepmind.compute_surface_distances(p, r, SPACING), 95)
    assert hausdorff95_mm(surface_distances_mm(p, r, SPACING)) == pytest.approx(theirs, abs=1.5)


MASKS = arrays(bool, (4, 5, 3))


@given(MASKS, MASKS, st.tuples(*[st.floats(0.3, 5)] * 3))
def test_distances_are_those_of_every_pair_of_surface_voxels(p, r, spacing):
    assume(p.any() and r.any())
    points = [np.argwhere(mask & ~binary_erosion(mask)) * spacing for mask in (p, r)]
    pairs = cdist(*points)
    to_reference, to_prediction = surface_distances_mm(p, r, spacing)
    np.testing.assert_allclose(to_reference, pairs.min(axis=1), atol=1e-12)
    np.testing.assert_allclose(to_prediction, pairs.min(axis=0), atol=1e-12)
