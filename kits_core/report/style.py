"""What all figures share. Without seaborn, which takes a second to import."""

from functools import cache
from io import BytesIO
from typing import Any

from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

_FAMILIES = (
    *("DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans Arabic"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans", "Arial Unicode MS"),
)
"""Fonts for names in any script, those of Linux and of Macs; what is not installed is left out."""


@cache
def style() -> dict[str, Any]:
    """Settings of all figures."""
    return {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.dpi": 130,
        "font.family": list(_installed()),
    }


@cache
def _installed() -> tuple[str, ...]:
    known = set(font_manager.get_font_names())
    return tuple(family for family in _FAMILIES if family in known)


@cache
def _fonts() -> tuple[FT2Font, ...]:
    return tuple(font_manager.get_font(font_manager.findfont(family)) for family in _installed())


def drawable(text: str) -> str:
    """`text`, with the code of each letter that no installed font has, as `U+5F20`: two names stay two."""
    return "".join(
        letter if any(font.get_char_index(ord(letter)) for font in _fonts()) else f"U+{ord(letter):04X} "
        for letter in text
    ).rstrip()


def label_decades(axis: Axis, limits: tuple[float, float]) -> None:
    """Plain numbers along a logarithmic axis, few enough that they do not run into each other."""
    ratio = limits[1] / limits[0]
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 200 else (1,), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def png_of(figure: Figure) -> bytes:
    """A figure as PNG bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
