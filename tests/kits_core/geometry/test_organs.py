import numpy as np

from kits_core.geometry.organs import kidneys_box

SPACING = (5.0, 2.0, 2.0)


def _labels():
    labels = np.zeros((30, 100, 100), np.uint8)
    labels[10:20, 40:60, 20:40] = 1
    labels[12:18, 40:60, 60:75] = 1
    labels[14:16, 60:65, 30:35] = 2
    return labels


def test_the_box_has_the_margin_in_mm_and_stays_in_the_scan():
    assert kidneys_box(_labels(), SPACING, 10.0, clean=False) == ((8, 21), (35, 69), (15, 79))
    assert kidneys_box(_labels(), SPACING, 1000.0, clean=True) == ((0, 29), (0, 99), (0, 99))


def test_specks_are_left_out_of_a_models_output_and_kept_in_a_reference():
    labels = _labels()
    labels[0, 0, 0] = 2
    assert kidneys_box(labels, SPACING, 0.0, clean=True) == ((10, 19), (40, 64), (20, 74))
    assert kidneys_box(labels, SPACING, 0.0, clean=False) == ((0, 19), (0, 64), (0, 74))


def test_of_specks_alone_the_largest_stays_and_of_nothing_nothing():
    labels = np.zeros((9, 9, 9), np.uint8)
    assert kidneys_box(labels, SPACING, 5.0, clean=True) is None
    labels[1, 1, 1], labels[5, 5, 5:7] = 1, 1
    assert kidneys_box(labels, SPACING, 0.0, clean=True) == ((5, 5), (5, 5), (5, 6))
