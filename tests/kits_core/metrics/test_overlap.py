import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from kits_core.metrics.overlap import dice, iou, volumetric_similarity

MASKS = arrays(bool, (3, 3, 3))


def _mask(*ones):
    mask = np.zeros(8, dtype=bool)
    mask[list(ones)] = True
    return mask.reshape(2, 2, 2)


def test_by_hand():
    p, r = _mask(0, 1, 2), _mask(2, 3)  # 1 common, 3 and 2, 4 in the union
    assert dice(p, r) == pytest.approx(2 / 5)
    assert iou(p, r) == pytest.approx(1 / 4)
    assert volumetric_similarity(p, r) == pytest.approx(1 - 1 / 5)


@pytest.mark.parametrize("metric", [dice, iou, volumetric_similarity])
def test_empty_masks(metric):
    assert metric(_mask(), _mask()) == 1
    assert metric(_mask(), _mask(1)) == 0
    assert metric(_mask(1), _mask()) == 0


@given(MASKS, MASKS)
def test_dice_and_iou_say_the_same_thing(p, r):
    assert dice(p, r) == pytest.approx(2 * iou(p, r) / (1 + iou(p, r)))
    assert dice(p, r) == dice(r, p)
