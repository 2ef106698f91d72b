"""Organs, bones and vessels of the phantom, in the body's frame (mm; w to inferior, v to posterior, u to left)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kits_core.phantom.fields import CoarseGrid, FloatArray, ramp, smooth_noise

Values = npt.NDArray[np.floating[Any]] | np.floating[Any] | float

_MUSCLE_MM = 11.0
_MUSCLE = 58.0
_VERTEBRA_MM = 33.0


@dataclass
class Canvas:
    """The picture being drawn and the frame to draw in; `w`, `v`, `u` broadcast to the shape of `hu`."""

    hu: FloatArray
    w: FloatArray
    v: FloatArray
    u: FloatArray
    below_skin: FloatArray
    fat_mm: FloatArray
    spine: float

    def blend(self, coverage: FloatArray, value: Values) -> None:
        """Lay `value` HU over the picture, `coverage` in [0, 1] of each voxel."""
        self.hu += coverage * (value - self.hu)

    def cavity(self) -> FloatArray:
        """Coverage of what the muscle ring encloses."""
        return ramp(self.below_skin - self.fat_mm - np.float32(_MUSCLE_MM))

    def ellipsoid(self, centre: tuple[float, float, float], half: tuple[float, float, float]) -> FloatArray:
        """About the distance inside an ellipsoid's surface, mm, negative outside; `centre`, `half` over (w, v, u)."""
        r2 = sum(
            ((axis - np.float32(c)) / np.float32(h)) ** 2
            for axis, c, h in zip((self.w, self.v, self.u), centre, half, strict=True)
        )
        return ((1 - np.sqrt(r2)) * np.float32(min(half))).astype(np.float32)

    def column(self, v: Values, u: Values, half_v: float, half_u: float) -> FloatArray:
        """Distance inside a column along the body's axis, broadcastable, mm."""
        r = np.sqrt(((self.v - v) / np.float32(half_v)) ** 2 + ((self.u - u) / np.float32(half_u)) ** 2)
        return ((1 - r) * np.float32(min(half_v, half_u))).astype(np.float32)


def draw_organs(canvas: Canvas, grid: CoarseGrid, rng: np.random.Generator) -> None:
    """Liver, spleen, stomach, pancreas and gallbladder, each inside the cavity."""
    cavity = canvas.cavity()
    shape_noise = smooth_noise(grid.shape, grid.spacing_mm, 55, rng)
    texture = smooth_noise(grid.shape, grid.spacing_mm, 9, rng)
    jitter = rng.uniform(-8, 8, size=(6, 3))

    def place(index: int, w: float, v: float, u: float) -> tuple[float, float, float]:
        return w + jitter[index, 0], v + jitter[index, 1], u + jitter[index, 2]

    stomach = canvas.ellipsoid(place(0, -62, -48, 52), (52, 36, 50)) + 4 * shape_noise
    canvas.blend(ramp(stomach) * cavity, 85 + 4 * texture)
    canvas.blend(ramp(stomach - 4) * cavity, rng.choice([12.0, 35.0, 160.0]) + 6 * texture)
    canvas.blend(ramp(stomach - 4) * ramp(-62 - canvas.v) * cavity, -880.0)
    pancreas = canvas.ellipsoid(place(1, -18, -8, 12), (15, 10, 68)) + 3 * texture
    canvas.blend(ramp(pancreas) * cavity, rng.uniform(90, 130) + 8 * texture)
    # The liver's level crosses that of medulla and tumour, the spleen's that of cortex.
    liver = canvas.ellipsoid(place(2, -72, -12, -78), (82, 92, 98)) + 6 * shape_noise
    canvas.blend(ramp(liver) * cavity, rng.uniform(80, 125) + 5 * texture)
    vessels = np.abs(smooth_noise(grid.shape, grid.spacing_mm, 42, rng)) * 14
    canvas.blend(ramp(2 - vessels) * ramp(liver - 8) * cavity, rng.uniform(130, 165))
    spleen = canvas.ellipsoid(place(3, -66, 22, 96), (52, 44, 34)) + 4 * shape_noise
    moire = np.sin((canvas.v + canvas.u) / 5 + 3 * shape_noise)
    canvas.blend(ramp(spleen) * cavity, rng.uniform(125, 175) + 12 * moire + 4 * texture)
    gallbladder = canvas.ellipsoid(place(4, -8, -52, -58), (26, 17, 15))
    canvas.blend(ramp(gallbladder) * cavity, rng.uniform(4, 16))


def draw_bowel(canvas: Canvas, grid: CoarseGrid, rng: np.random.Generator) -> None:
    """Loops of small bowel in front, with enhancing walls, fluid, contrast or gas; colon along both flanks."""
    cavity = canvas.cavity()
    loops = smooth_noise(grid.shape, grid.spacing_mm, 34, rng)
    filling = smooth_noise(grid.shape, grid.spacing_mm, 70, rng)
    front = ramp(np.float32(canvas.spine - 42) - canvas.v) * ramp(canvas.w + 38) * cavity
    canvas.blend(ramp(14 * (loops - 0.1)) * front, rng.uniform(75, 125))
    contents = np.where(filling > 1.25, np.float32(rng.choice([-820.0, 230.0])), np.float32(22) + 10 * loops)
    canvas.blend(ramp(14 * (loops - 0.42)) * front, contents)
    stool = smooth_noise(grid.shape, grid.spacing_mm, 10, rng)
    reach = float(np.abs(canvas.u[canvas.u < 0]).max(initial=0.0))
    for side in (-1, 1):
        lateral = side * min(108.0, max(60.0, reach - 62))
        wander = 7 * np.sin(canvas.w / 24 + side)
        colon = canvas.column(-8 + wander, lateral + wander, 19, 21) + 2 * loops
        lower = ramp(canvas.w + 12)
        canvas.blend(ramp(colon) * lower * cavity, 70.0)
        canvas.blend(ramp(colon - 3) * lower * cavity, np.where(stool > 0.9, np.float32(-700), 30 + 35 * stool))


def draw_lungs(canvas: Canvas, grid: CoarseGrid, rng: np.random.Generator) -> None:
    """Lung bases and heart above the diaphragm's two domes, where the scan reaches that far up."""
    top = float(canvas.w.min())
    if top > -80:
        return
    dome = 52 * np.exp(-(((np.abs(canvas.u) - 70) / 62) ** 2) - ((canvas.v + 5) / 85) ** 2)
    above = (-canvas.w - 88 - dome).astype(np.float32)
    vessels = smooth_noise(grid.shape, grid.spacing_mm, 12, rng)
    mediastinum = ramp(canvas.column(np.float32(canvas.spine - 30), 0, 40, 32))
    coverage = ramp(above) * canvas.cavity() * (1 - mediastinum)
    canvas.blend(coverage, np.where(vessels > 1.7, np.float32(40), -845 + 18 * vessels))
    heart = canvas.ellipsoid((-185, -38, 22), (55, 48, 58))
    canvas.blend(ramp(heart) * ramp(above), rng.uniform(130, 190))


def draw_vessels(canvas: Canvas, hilums: list[tuple[float, float, float]], rng: np.random.Generator) -> None:
    """Aorta, vena cava, and an artery and a vein to each hilum; arteries are brighter than any cortex."""
    artery, vein = rng.uniform(220, 310), rng.uniform(95, 160)
    bend = 3 * np.sin(canvas.w / 60)
    aorta = (canvas.spine - 31.0, 13.0)
    cava = (canvas.spine - 30.0, -17.0)
    for w, v, u in hilums:
        # Up to 60 % of the way to the middle of the kidney, which is where its sinus opens.
        for start, value, half in ((cava, vein, 5.0), (aorta, artery, 3.2)):
            inside = _tube(
                canvas, (w, *start), (w + 4, start[0] + 0.6 * (v - start[0]), start[1] + 0.6 * (u - start[1]))
            )
            canvas.blend(ramp(inside + np.float32(half)), value)
    canvas.blend(ramp(canvas.column(cava[0], cava[1] + bend, 10, 13)), vein)
    canvas.blend(ramp(canvas.column(aorta[0], aorta[1] + bend, 11, 11)), artery)
    canvas.blend(ramp(canvas.column(aorta[0] - 22, 8 + bend, 4, 4)) * ramp(canvas.w + 30), artery)


def draw_bones(canvas: Canvas, half_width: float, grid: CoarseGrid, rng: np.random.Generator) -> None:
    """Spine with discs, canal and processes, its muscles, ribs in the wall, and iliac wings below."""
    texture = smooth_noise(grid.shape, grid.spacing_mm, 5, rng)
    spine = np.float32(canvas.spine)
    lower = np.clip(canvas.w, -60, 120)
    in_body = ramp(canvas.below_skin - 8)
    for side in (-1, 1):
        psoas = canvas.column(spine + 2, side * (31 + lower * 0.12), 17, 12) + lower * np.float32(0.05)
        canvas.blend(ramp(psoas) * ramp(canvas.w + 45) * in_body, _MUSCLE + 3 * texture)
        back = canvas.column(spine + 42, side * np.float32(31), 20, 27)
        canvas.blend(ramp(back) * in_body, _MUSCLE - 4 + 6 * texture)
    level = np.mod(canvas.w + np.float32(rng.uniform(0, _VERTEBRA_MM)), _VERTEBRA_MM)
    arch = ramp(7 - np.abs(level - 14))
    processes = np.maximum(canvas.column(spine + 45, 0, 17, 3.6), canvas.column(spine + 24, 0, 4, 37))
    canvas.blend(ramp(processes) * arch * in_body, 330 + 40 * texture)
    ring = canvas.column(spine + 26, 0, 14, 15)
    canvas.blend(ramp(ring) * in_body, 300.0)
    canvas.blend(ramp(canvas.column(spine + 26, 0, 9, 10)), 28.0)
    vertebra = canvas.column(spine, 0, 17, 22)
    canvas.blend(ramp(vertebra) * in_body, 420.0)
    canvas.blend(ramp(vertebra - 2.2) * in_body, rng.uniform(140, 220) + 28 * texture)
    canvas.blend(ramp(vertebra + 1) * ramp(3 - np.abs(level - 30)) * in_body, 85.0)
    _draw_ribs(canvas, texture)
    if float(canvas.w.max()) > 110:
        for side in (-1, 1):
            wing = canvas.ellipsoid((185, 35, side * 0.62 * half_width), (75, 52, 40))
            canvas.blend(ramp(6 - np.abs(wing - 6)) * ramp(canvas.below_skin - canvas.fat_mm), 380 + 60 * texture)


def _draw_ribs(canvas: Canvas, texture: FloatArray) -> None:
    """Ribs slope down towards the front in the muscle ring, and end at about the kidneys' middle."""
    phase = np.mod(canvas.w - 0.45 * canvas.v, 27.0)
    band = ramp(5.5 - np.abs(phase - 13)) * ramp(15 - canvas.w + 0.2 * canvas.v) * ramp(np.abs(canvas.u) - 36)
    deep = canvas.below_skin - canvas.fat_mm
    inside = ramp(3.6 - np.abs(deep - 5.5))
    marrow = ramp(1.6 - np.abs(deep - 5.5))
    canvas.blend(inside * band, 520 + 40 * texture)
    canvas.blend(marrow * band, 190.0)


def _tube(canvas: Canvas, start: tuple[float, float, float], stop: tuple[float, float, float]) -> FloatArray:
    """Minus the distance to a segment between two points (w, v, u), mm."""
    origin = np.array(start, np.float32)
    along = np.array(stop, np.float32) - origin
    length2 = max(float(along @ along), 1e-3)
    offsets = (canvas.w - origin[0], canvas.v - origin[1], canvas.u - origin[2])
    t = np.clip(sum(o * a for o, a in zip(offsets, along, strict=True)) / np.float32(length2), 0, 1)
    r2 = sum((o - t * a) ** 2 for o, a in zip(offsets, along, strict=True))
    return -np.sqrt(r2).astype(np.float32)
