"""Colours of structures: one each, the same in the 3-D view, the slices, the tables and the GLB."""

Color = tuple[int, int, int]

BACKGROUND: Color = (16, 22, 29)
KIDNEY: Color = (222, 134, 110)
CYST: Color = (70, 140, 220)
SINUS: Color = (235, 225, 180)

TUMORS: tuple[Color, ...] = (
    (240, 180, 30), (60, 210, 240), (255, 0, 150), (165, 120, 0), (15, 180, 180),
    (210, 240, 135), (255, 15, 240), (195, 150, 60), (210, 105, 120), (255, 135, 195),
    (60, 255, 225), (135, 210, 135), (225, 240, 0), (180, 105, 180), (255, 0, 90),
    (0, 150, 120), (255, 120, 150), (45, 225, 90), (210, 120, 165), (120, 135, 255),
)  # fmt: skip
"""For each of the tumours that a plan can have, by number.

Each was chosen to differ most from those before it, for normal vision and for the three kinds of colour blindness
(simulated after Machado et al. 2009, CIEDE2000): by 9 among the first eight and by 5.9 among all. On the dark
background each has a contrast of 4.5 or more. A tumour's number stands wherever its colour does.
"""


def tumor_color(number: int) -> Color:
    """Of the tumour of a number, from 1; after the last colour they begin again."""
    return TUMORS[(number - 1) % len(TUMORS)]


def css(color: Color) -> str:
    """As a style sheet has it."""
    return "rgb({},{},{})".format(*color)
