"""Tumours' colours can be told apart, whatever cones an eye has, and are seen on the dark ground of view and slices."""

import numpy as np
import pytest
from numpy.typing import ArrayLike
from skimage.color import deltaE_ciede2000, rgb2lab

from kits_core.plan.anatomy import _MOST_TUMORS
from kits_core.plan.colors import BACKGROUND, CYST, KIDNEY, TUMORS, css, tumor_color

# Machado, Oliveira & Fernandes 2009, severity 1.
EYES: dict[str, ArrayLike] = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colors):
    part = np.asarray(colors, float) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def seen(colors, eye):
    part = np.clip(linear(colors) @ np.transpose(EYES[eye]), 0, 1)
    return rgb2lab(np.where(part <= 0.0031308, 12.92 * part, 1.055 * part ** (1 / 2.4) - 0.055))


def closest(lab):
    apart = np.array([deltaE_ciede2000(one[None], lab) for one in lab])
    return apart[~np.eye(len(lab), dtype=bool)].min()


@pytest.mark.parametrize("eye", EYES)
def test_every_tumour_that_a_plan_can_have_has_a_colour_of_its_own(eye):
    assert len(TUMORS) == _MOST_TUMORS
    assert closest(seen(TUMORS[:8], eye)) >= 9
    assert closest(seen(TUMORS, eye)) >= 5.9
    assert closest(seen([*TUMORS[:8], KIDNEY, CYST], eye)) >= 5


def test_each_stands_out_from_the_dark_ground():
    luminance = linear([*TUMORS, BACKGROUND]) @ [0.2126, 0.7152, 0.0722]
    assert ((luminance[:-1] + 0.05) / (luminance[-1] + 0.05)).min() >= 4.5


def test_a_number_has_its_colour_and_the_colours_begin_again():
    assert tumor_color(1) == TUMORS[0] == tumor_color(21)
    assert css(tumor_color(2)) == "rgb(60,210,240)"
