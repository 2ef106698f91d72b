"""What all figures share. Without seaborn, which takes a second to import."""

from io import BytesIO

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 130}


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
