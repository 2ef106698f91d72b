"""What all figures share. Matplotlib is imported when something is drawn: it takes half a second."""

from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.ft2font import FT2Font

_FAMILIES = (
    *("DejaVu Sans", "Noto Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans Arabic"),
    *("WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "PingFang SC", "Hiragino Sans", "Arial Unicode MS"),
)
"""Fonts for names in any script, those of Linux and of Macs; what is not installed is left out."""


_PAGE_PT, _PAPER_PT, _PAPER_DPI = 9, 7, 400
_NARROW_MM = 120


@cache
def style() -> dict[str, Any]:
    """Settings of all figures."""
    return {
        "font.size": _PAGE_PT,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.dpi": 130,
        "font.family": list(_installed()),
    }


@cache
def _installed() -> tuple[str, ...]:
    from matplotlib import font_manager  # noqa: PLC0415

    known = set(font_manager.get_font_names())
    return tuple(family for family in _FAMILIES if family in known)


@cache
def _fonts() -> "tuple[FT2Font, ...]":
    from matplotlib import font_manager  # noqa: PLC0415

    return tuple(font_manager.get_font(font_manager.findfont(family)) for family in _installed())


def drawable(text: str) -> str:
    """`text`, with the code of each letter that no installed font has, as `U+5F20`: two names stay two."""
    return "".join(
        letter if any(font.get_char_index(ord(letter)) for font in _fonts()) else f"U+{ord(letter):04X} "
        for letter in text
    ).rstrip()


@dataclass(frozen=True)
class Look:
    """What a figure is for: a page, as PNG, or paper of a width in mm, as PDF or SVG with its text as text."""

    width_mm: float | None = None
    format: Literal["png", "pdf", "svg"] = "png"

    @property
    def is_narrow(self) -> bool:
        """Whether it is one column of a paper: panels stand below each other."""
        return self.width_mm is not None and self.width_mm < _NARROW_MM

    def style(self) -> dict[str, Any]:
        """Matplotlib's settings."""
        if self.width_mm is None:
            return style()
        paper = {
            "font.size": _PAPER_PT,
            "axes.linewidth": 0.6,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "pdf.fonttype": 42,  # TrueType: type 3, the default, is refused by journals
            "svg.fonttype": "none",
            "svg.hashsalt": "kits",
        }
        return {**style(), **paper}

    def pt(self, size: float) -> float:
        """A size that fits a page's letters, scaled to the letters of this figure."""
        return size if self.width_mm is None else size * _PAPER_PT / _PAGE_PT

    def area(self, points: float) -> float:
        """An area of a marker, in square points, that is meant for a page."""
        return points * 0.6 if self.is_narrow else points

    def inches(self, width: float, height: float, *, pictures: bool = False) -> tuple[float, float]:
        """Width and height in inches, from those on a page. The height shrinks less, unless it holds pictures."""
        if self.width_mm is None:
            return width, height
        ratio = self.width_mm / 25.4 / width
        return width * ratio, height * (ratio if pictures else max(ratio, _PAPER_PT / _PAGE_PT))

    def bytes_of(self, figure: "Figure") -> bytes:
        """A figure as a file's content; the same figure gives the same bytes."""
        import matplotlib as mpl  # noqa: PLC0415

        if self.width_mm is None:
            return png_of(figure)
        buffer, dated = BytesIO(), {"pdf": "CreationDate", "svg": "Date"}
        metadata = {dated[self.format]: None} if self.format in dated else None
        with mpl.rc_context(self.style()):
            figure.savefig(buffer, format=self.format, dpi=_PAPER_DPI, metadata=metadata)
        return buffer.getvalue()


PAGE = Look()


def label_decades(axis: "Axis", limits: tuple[float, float]) -> None:
    """Plain numbers along a logarithmic axis, few enough that they do not run into each other."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    ratio = limits[1] / limits[0]
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 200 else (1,), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def png_of(figure: "Figure") -> bytes:
    """A figure as PNG bytes."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
