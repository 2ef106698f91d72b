"""What lies around the labels: body wall, bone, vessels, and organs that enhance as kidneys and cysts do."""

from dataclasses import dataclass

import numpy as np

from kits_core.phantom.fields import CoarseGrid, FloatArray, LabelArray, ramp, smooth_noise
from kits_core.phantom.organs import Canvas, draw_bones, draw_bowel, draw_lungs, draw_organs, draw_vessels

_AIR, _FAT, _SKIN, _MUSCLE = -1000.0, -104.0, 15.0, 58.0


@dataclass(frozen=True)
class Body:
    """The patient's frame in mm of the grid: where the body's axis is and how large the body is around it."""

    z: float
    y: float
    x: float
    half_depth: float
    half_width: float
    spine: float
    """Of the vertebral bodies' centre, behind `y`."""


def draw_scenery(sampled: LabelArray, outside_mm: FloatArray, grid: CoarseGrid, rng: np.random.Generator) -> FloatArray:
    """HU of everything except the labels, float32 on the coarse `grid`.

    `sampled`: the labels on that grid; `outside_mm`: distance to the nearest label, which is inside the body always.
    """
    body = fit_body(outside_mm, grid, rng)
    z, y, x = grid.axes_mm()
    w, v, u = z - np.float32(body.z), y - np.float32(body.y), x - np.float32(body.x)
    # A little waist, and a rounded rectangle more than an ellipse, as abdomens lying on a table are.
    waist = 1 + np.float32(0.035) * np.cos(w / 70)
    rho = ((np.abs(u) / (body.half_width * waist)) ** 2.4 + (np.abs(v) / (body.half_depth * waist)) ** 2.4) ** (1 / 2.4)
    wobble = smooth_noise(grid.shape, grid.spacing_mm, 130, rng)
    below_skin = (1 - rho).astype(np.float32) * np.float32((body.half_width + body.half_depth) / 2) + 2 * wobble
    below_skin = np.maximum(below_skin, 16 - outside_mm)
    hu = np.full(grid.shape, _AIR, np.float32)
    canvas = Canvas(hu, w, v, u, below_skin, np.float32(rng.uniform(12, 24)) + 3 * wobble, body.spine)
    _draw_table(canvas, body)
    _draw_wall(canvas, grid, rng)
    draw_organs(canvas, grid, rng)
    draw_bowel(canvas, grid, rng)
    draw_lungs(canvas, grid, rng)
    _draw_perirenal_fat(canvas, outside_mm, grid, rng)
    draw_vessels(canvas, _hilums(sampled, grid, body), rng)
    draw_bones(canvas, body.half_width, grid, rng)
    return canvas.hu


def fit_body(outside_mm: FloatArray, grid: CoarseGrid, rng: np.random.Generator) -> Body:
    """A body around the labels: kidneys beside the spine, in the back half. Without labels, in the middle."""
    inside = outside_mm == 0
    extent = np.array(grid.shape) * np.array(grid.spacing_mm)
    low, middle, high = 0.4 * extent, 0.5 * extent, 0.6 * extent
    if inside.any():
        found = [np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
        low = np.array([f[0] * s for f, s in zip(found, grid.spacing_mm, strict=True)])
        high = np.array([f[-1] * s for f, s in zip(found, grid.spacing_mm, strict=True)])
        middle = (low + high) / 2
    # One kidney alone lies on its own side of the spine; the best guess at the spine is then the middle of the scan.
    x = middle[2] if high[2] - low[2] > 110 else extent[2] / 2
    kidney_y = low[1] + 0.55 * (high[1] - low[1])
    y = kidney_y - rng.uniform(22, 30)
    reach = max(high[1] - y, y - low[1])
    reach_x = max(high[2] - x, x - low[2])
    return Body(
        z=float(middle[0]),
        y=float(y),
        x=float(x),
        half_depth=max(100.0, float(reach) + 34) + rng.uniform(0, 16),
        half_width=max(138.0, float(reach_x) + 42) + rng.uniform(0, 22),
        spine=float(kidney_y - y + 6),
    )


def _draw_wall(canvas: Canvas, grid: CoarseGrid, rng: np.random.Generator) -> None:
    """Skin, subcutaneous fat, a ring of muscle, and the fat that fills the cavity."""
    strands = smooth_noise(grid.shape, grid.spacing_mm, 14, rng)
    canvas.blend(ramp(canvas.below_skin), _SKIN)
    canvas.blend(ramp(canvas.below_skin - 2.5), _FAT + 5 * strands)
    canvas.blend(ramp(canvas.below_skin - canvas.fat_mm), _MUSCLE + 4 * strands)
    canvas.blend(canvas.cavity(), _FAT + 7 * strands)


def _draw_perirenal_fat(canvas: Canvas, outside_mm: FloatArray, grid: CoarseGrid, rng: np.random.Generator) -> None:
    """Gerota's fascia: fat of 1 to 14 mm around kidneys and masses, thin where they touch the liver or spleen."""
    margin = 7 + 3.5 * smooth_noise(grid.shape, grid.spacing_mm, 50, rng)
    strands = smooth_noise(grid.shape, grid.spacing_mm, 9, rng)
    canvas.blend(ramp(np.clip(margin, 1.5, 14) - outside_mm), _FAT + 9 * strands)


def _draw_table(canvas: Canvas, body: Body) -> None:
    top = np.float32(body.half_depth + 9) - (canvas.u / 34) ** 2 / 2
    below = canvas.v - top
    shell = (np.abs(below - 14) > 12.2) * ramp(14 - np.abs(below - 14))
    canvas.blend(ramp(14 - np.abs(below - 14)) * (np.abs(canvas.u) < 215), -930.0)
    canvas.blend(shell * (np.abs(canvas.u) < 215), -350.0)


def _hilums(sampled: LabelArray, grid: CoarseGrid, body: Body) -> list[tuple[float, float, float]]:
    """Where each side's kidney is, in the body's frame (w, v, u); sides without any label are left out."""
    found = []
    middle = round(body.x / grid.spacing_mm[2])
    origin = np.array([body.z, body.y, body.x])
    for start, stop in ((0, middle), (middle, grid.shape[2])):
        points = np.argwhere(sampled[:, :, max(0, start) : max(0, stop)] > 0)
        if len(points):
            centre = (points.mean(axis=0) + np.array([0, 0, max(0, start)])) * np.array(grid.spacing_mm) - origin
            found.append((float(centre[0]), float(centre[1]), float(centre[2])))
    return found
