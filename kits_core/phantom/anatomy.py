"""Label maps of two kidneys with tumours and cysts, in KiTS geometry (axes inferior, posterior, left)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kits_core.errors import KitsError
from kits_core.labels import Label
from kits_core.phantom.fields import FloatArray, LabelArray

_ABDOMEN_MM = (165.0, 215.0, 270.0)
"""Extent (slices, antero-posterior, left-right) that adult kidneys need around them; less shrinks the patient."""

_MAIN_TUMOR_MM = (34.0, 72.0)
_FURTHER_TUMOR_MM = (18.0, 36.0)
"""Large enough that a network on a 64-voxel grid can learn them from 16 patients: 7 to 15 voxels across."""

_CYST_MM = (10.0, 38.0)


@dataclass(frozen=True)
class _Kidney:
    """A kidney in mm: `axes` holds its unit vectors (long axis, depth, lateral) as rows over (z, y, x)."""

    centre: npt.NDArray[np.float64]
    axes: npt.NDArray[np.float64]
    half: npt.NDArray[np.float64]
    bend_mm: float
    sinus: float


def make_labels(
    shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], rng: np.random.Generator
) -> LabelArray:
    """A label map, uint8 `(slice, row, column)`: two kidneys, one to three tumours and, in half of the cases, cysts.

    `spacing_mm` belongs to the axes in order. Axis 0 runs to inferior, 1 to posterior, 2 to the patient's left. Kidneys
    are beans whose sinus (background: fat) opens medially; masses are exophytic and endophytic. A grid smaller than an
    abdomen holds a smaller patient. Raises `KitsError` for a grid of less than 8 voxels an axis or a spacing <= 0.
    """
    if min(shape) < 8 or min(spacing_mm) <= 0:
        raise KitsError(f"a phantom needs at least 8 voxels an axis and spacings above 0; got {shape} and {spacing_mm}")
    extent = np.array(shape) * np.array(spacing_mm)
    scale = float(min(1.0, *(extent / _ABDOMEN_MM)))
    labels = np.zeros(shape, np.uint8)
    kidneys = [_draw_kidney(extent, scale, side, rng) for side in (-1, 1)]
    for kidney in kidneys:
        _paint_kidney(labels, spacing_mm, kidney)
    count = int(rng.choice([1, 2, 3], p=[0.65, 0.25, 0.1]))
    cysts = int(rng.integers(1, 4)) if rng.random() < 0.5 else 0
    for number in range(count):
        low, high = _MAIN_TUMOR_MM if number == 0 else _FURTHER_TUMOR_MM
        diameter = rng.uniform(low, high) * scale
        _paint_mass(labels, spacing_mm, kidneys[rng.integers(2)], label=Label.TUMOR, radius_mm=diameter / 2, rng=rng)
    for _ in range(cysts):
        radius = rng.uniform(*_CYST_MM) * scale / 2
        _paint_mass(labels, spacing_mm, kidneys[rng.integers(2)], label=Label.CYST, radius_mm=radius, rng=rng)
    return labels


def _draw_kidney(extent: npt.NDArray[np.float64], scale: float, side: int, rng: np.random.Generator) -> _Kidney:
    """`side` is -1 for the patient's right kidney, 1 for the left one, which lies a little higher."""
    lower = 8.0 if side < 0 else -6.0
    room = max(0.0, extent[0] - 150.0 * scale) / 4
    centre = extent / 2 + scale * np.array(
        [lower + rng.uniform(-6, 6), 22 + rng.uniform(-8, 8), side * (62 + rng.uniform(-6, 8))]
    )
    centre[0] += rng.uniform(-room, room)
    # The upper poles lean medially and backwards, so the long axis leans along with the psoas muscle.
    long_axis = np.array([1.0, -rng.uniform(0.05, 0.3), side * rng.uniform(0.1, 0.35)])
    lateral = np.array([0.0, rng.uniform(0.1, 0.7), side])
    long_axis /= np.linalg.norm(long_axis)
    lateral -= long_axis * (lateral @ long_axis)
    lateral /= np.linalg.norm(lateral)
    half = scale * np.array([rng.uniform(47, 59), rng.uniform(20, 26), rng.uniform(25, 31)])
    return _Kidney(
        centre,
        np.stack([long_axis, np.cross(long_axis, lateral), lateral]),
        half,
        bend_mm=scale * rng.uniform(6, 11),
        sinus=rng.uniform(0.85, 1.15),
    )


def _paint_kidney(labels: LabelArray, spacing_mm: tuple[float, float, float], kidney: _Kidney) -> None:
    box, (t, depth, lateral) = _local(labels, spacing_mm, kidney, reach=1.4 * float(kidney.half[0]))
    long, thick, wide = kidney.half
    # The bean: its middle is pushed to lateral, its poles stay medial.
    bent = lateral - kidney.bend_mm * (1 - (t / long) ** 2) + 0.4 * kidney.bend_mm
    body = np.abs(t / long) ** 2.3 + np.abs(depth / thick) ** 2.2 + np.abs(bent / wide) ** 2.2 < 1
    opening = kidney.sinus
    sinus = (t / (0.5 * opening * long)) ** 2 + (depth / (0.45 * opening * thick)) ** 2 + (
        (bent + 0.8 * wide) / (0.95 * opening * wide)
    ) ** 2 < 1
    labels[box][body & ~sinus] = Label.KIDNEY


def _paint_mass(
    labels: LabelArray,
    spacing_mm: tuple[float, float, float],
    kidney: _Kidney,
    *,
    label: Label,
    radius_mm: float,
    rng: np.random.Generator,
) -> None:
    """A lump at the kidney's surface (exophytic) or below it (endophytic); a cyst never overwrites a tumour."""
    t = rng.uniform(-0.8, 0.8)
    # Within 110 degrees of lateral: a mass that grows medially would lie in the spine.
    angle = np.radians(rng.uniform(-110, 110))
    girth = np.sqrt(1 - t * t)
    surface = kidney.half * np.array([t, girth * np.sin(angle), girth * np.cos(angle)])
    outward = surface / np.linalg.norm(surface)
    outgrowth = rng.uniform(-0.75, 0.5) * radius_mm
    centre = kidney.centre + (surface + outward * outgrowth) @ kidney.axes
    extent = np.array(labels.shape) * np.array(spacing_mm)
    centre = np.clip(centre, 0.1 * extent, 0.9 * extent)
    stretch = radius_mm * rng.uniform(0.88, 1.12, size=3)
    lump = _Kidney(centre, kidney.axes, stretch, 0.0, 0.0)
    box, (a, b, c) = _local(labels, spacing_mm, lump, reach=1.5 * radius_mm)
    roughness = 0.0 if label is Label.CYST else 0.13
    r = np.sqrt((a / stretch[0]) ** 2 + (b / stretch[1]) ** 2 + (c / stretch[2]) ** 2)
    phases = rng.uniform(0, 2 * np.pi, size=3)
    bumps = np.sin(2.1 * a / radius_mm + phases[0]) * np.sin(2.4 * b / radius_mm + phases[1]) + np.sin(
        2.7 * c / radius_mm + phases[2]
    )
    inside = r < 1 + roughness * bumps
    if label is Label.CYST:
        inside &= labels[box] != Label.TUMOR
    labels[box][inside] = label
    if label is Label.TUMOR:  # never empty, however coarse the grid
        labels[tuple(np.clip((centre / spacing_mm).astype(int), 0, np.array(labels.shape) - 1))] = label


def _local(
    labels: LabelArray, spacing_mm: tuple[float, float, float], body: _Kidney, reach: float
) -> tuple[tuple[slice, slice, slice], tuple[FloatArray, FloatArray, FloatArray]]:
    """The box of voxels within `reach` mm of the body and their mm coordinates along the body's own axes."""
    slices, offsets = [], []
    for axis, (n, s) in enumerate(zip(labels.shape, spacing_mm, strict=True)):
        start = int(np.clip(np.floor((body.centre[axis] - reach) / s), 0, n))
        stop = int(np.clip(np.ceil((body.centre[axis] + reach) / s) + 1, start, n))
        slices.append(slice(start, stop))
        offsets.append(((np.arange(start, stop) + 0.5) * s - body.centre[axis]).astype(np.float32))
    z, y, x = offsets[0][:, None, None], offsets[1][None, :, None], offsets[2][None, None, :]
    first, second, third = (
        (np.float32(v[0]) * z + np.float32(v[1]) * y + np.float32(v[2]) * x).astype(np.float32) for v in body.axes
    )
    return (slices[0], slices[1], slices[2]), (first, second, third)
