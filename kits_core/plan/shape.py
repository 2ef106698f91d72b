"""A mask of voxels as the smooth closed surface that it stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import edt
import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, map_coordinates
from skimage.measure import marching_cubes

from kits_core.geometry.boxes import bounding_box
from kits_core.plan.anatomy import Mask, Points

Spacing = tuple[float, float, float]

_STEP_MM = (0.4, 1.0)
_STEPS_ACROSS = 20
_MOST_VOXELS = 6e6
_PAD_MM = 4.0
_ROUND_MM = 1.0  # without it, corners of voxels make diameters larger
_VOLUME_WITHIN = 0.002
_MOST_STEPS = 20
_OFF_THE_GRID = 0.01
_CHUNK = 2_000_000


@dataclass(frozen=True, eq=False)
class Shape:
    """A surface between voxels: where `field` is 0, negative inside.

    `field`: float32 `(x, y, z)`, about the distance from the surface in mm, on a grid of `step_mm` in all directions
    whose voxel 0 lies at `origin_mm` (grid mm).
    """

    field: NDArray[np.float32]
    step_mm: float
    origin_mm: Points

    @cached_property
    def mesh(self) -> trimesh.Trimesh:
        """The closed surface, in grid mm, normals outwards."""
        # A corner of the grid on the surface would be several vertices in one place, which files cannot tell apart.
        least = np.float32(_OFF_THE_GRID * self.step_mm)
        field = np.where(np.abs(self.field) < least, np.copysign(least, self.field), self.field)
        vertices, faces, _, _ = marching_cubes(field, 0.0, spacing=(self.step_mm,) * 3)
        return trimesh.Trimesh(vertices + self.origin_mm, faces, process=False)

    @property
    def volume_ml(self) -> float:
        """Volume that the surface encloses."""
        return float(self.mesh.volume) / 1000

    def coarser(self, stride: int) -> "Shape":
        """The same surface from every `stride`-th value of the field: to look at, with about `stride`² fewer faces."""
        return Shape(self.field[::stride, ::stride, ::stride], stride * self.step_mm, self.origin_mm)

    def farthest_out(self, subdivisions: int) -> Points:
        """The surface's points that lie farthest out in directions all around: `(n, 3)`, grid mm, each once.

        `subdivisions`: of an icosahedron into directions: 3 makes 642, 4 makes 2,562.
        """
        vertices = np.asarray(self.mesh.vertices, dtype=np.float32)
        directions = np.asarray(trimesh.creation.icosphere(subdivisions).vertices, dtype=np.float32)
        pieces = np.array_split(directions, len(vertices) * len(directions) // _CHUNK + 1)
        farthest = [(some @ vertices.T).argmax(axis=1) for some in pieces]
        return np.asarray(self.mesh.vertices[np.unique(np.concatenate(farthest))])

    def inside(self, most: int) -> Points:
        """Points inside, evenly spread, about `most` of them or fewer: `(n, 3)`, grid mm."""
        found = np.argwhere(self.field < 0)
        return found[:: max(1, len(found) // most)] * self.step_mm + self.origin_mm

    def at(self, points: Points) -> Points:
        """About the distance of points `(n, 3)` in grid mm from the surface, in mm, negative inside: float64 `(n,)`.

        Beyond the field's grid, that of the grid's nearest point and the way there are added.
        """
        places = (points - self.origin_mm) / self.step_mm
        held = np.clip(places, 0, np.array(self.field.shape) - 1)
        values = map_coordinates(self.field, held.T, order=1)
        return np.asarray(values + np.linalg.norm(places - held, axis=1) * self.step_mm)


def shape_of(mask: Mask, spacing_mm: Spacing, *, round_mm: float = 0.0) -> Shape:
    """The smooth surface that encloses the mask's volume, to 0.2 %.

    `mask`: bool `(x, y, z)`, not empty; beyond the array is outside. The signed distance to the mask (shape-based
    interpolation, Raya & Udupa 1990, doi:10.1109/42.52980) is smoothed by half the spacing along each axis, so that
    steps between slices go, and by at least `round_mm` (standard deviation) for what has no edges to lose. The level is
    taken that gives the mask's volume back, so that smoothing shrinks nothing.

    Raises `ValueError` for an empty mask.
    """
    box = bounding_box(mask)
    if box is None:
        raise ValueError("a surface needs a mask that is not empty")
    spacing = np.array(spacing_mm)
    volume_mm3 = float(np.count_nonzero(mask[box]) * spacing.prod())
    radius_mm = (3 * volume_mm3 / (4 * np.pi)) ** (1 / 3)
    sigma_mm = np.minimum(np.maximum(spacing / 2, round_mm), 0.3 * radius_mm)
    pad = np.ceil(np.maximum(_PAD_MM, 3 * sigma_mm) / spacing).astype(int) + 1
    padded = np.pad(mask[box], [(n, n) for n in pad])
    distance = gaussian_filter(_signed_distance(padded, spacing_mm), sigma_mm / spacing)
    extent = (np.array(padded.shape) - 1) * spacing
    step = float(np.clip(2 * radius_mm / _STEPS_ACROSS, *_STEP_MM))
    step = max(step, float((extent.prod() / _MOST_VOXELS) ** (1 / 3)))
    fine = affine_transform(
        distance, step / spacing, output_shape=tuple((extent / step).astype(int) + 1), order=1, mode="nearest"
    )
    origin = (np.array([part.start for part in box]) - pad) * spacing
    return _with_volume(Shape(fine, step, origin), volume_mm3)


def rounded_shape_of(mask: Mask, spacing_mm: Spacing) -> Shape:
    """As `shape_of`, but smoother: for tumours, and for masks that were drawn slice by slice."""
    return shape_of(mask, spacing_mm, round_mm=max(_ROUND_MM, 0.8 * max(spacing_mm)))


def nearest_gap_mm(shape: Shape, others: Sequence[Shape]) -> float:
    """The smallest distance between a surface and some others, at least one, mm; 0 where it touches or overlaps one."""
    nearest = np.inf
    boxed = [(_box_gap_mm(shape, other), other) for other in others]
    for least, other in sorted(boxed, key=lambda found: found[0]):
        if least >= nearest:  # nor can those behind it be nearer
            break
        nearest = min(nearest, gap_mm(shape, other))
    return float(nearest)


def _box_gap_mm(a: Shape, b: Shape) -> float:
    (a_low, a_high), (b_low, b_high) = np.asarray(a.mesh.bounds), np.asarray(b.mesh.bounds)
    return float(np.linalg.norm(np.maximum(0.0, np.maximum(a_low - b_high, b_low - a_high))))


def gap_mm(a: Shape, b: Shape) -> float:
    """The smallest distance between two surfaces, mm; 0 where they touch or overlap."""
    first, second = sorted((a, b), key=lambda shape: len(shape.mesh.vertices))
    nearest, _ = second.mesh.kdtree.query(first.mesh.vertices)
    if second.at(first.mesh.vertices).min() <= 0 or first.at(second.mesh.vertices).min() <= 0:
        return 0.0
    return float(nearest.min())


def _signed_distance(mask: Mask, spacing_mm: Spacing) -> NDArray[np.float32]:
    inside = edt.edt(mask, anisotropy=spacing_mm)
    outside = edt.edt(~mask, anisotropy=spacing_mm)
    return np.asarray(outside - inside, dtype=np.float32)


def _with_volume(shape: Shape, volume_mm3: float) -> Shape:
    """The same field at the level whose surface encloses the volume.

    By Newton's steps, since dV/dlevel is the area; by halving the bracket where such a step leaves it.
    """
    low, high = float(shape.field.min()), float(shape.field.max())
    found = int(np.clip(round(volume_mm3 / shape.step_mm**3), 1, shape.field.size - 1))
    level = float(np.partition(shape.field, found, axis=None)[found])
    moved = shape
    for _ in range(_MOST_STEPS):
        level = level if low < level < high else (low + high) / 2
        moved = Shape(shape.field - np.float32(level), shape.step_mm, shape.origin_mm)
        lacking = volume_mm3 - float(moved.mesh.volume)
        if abs(lacking) <= _VOLUME_WITHIN * volume_mm3:
            break
        low, high = (level, high) if lacking > 0 else (low, level)
        level += lacking / float(moved.mesh.area)
    return moved
