"""The measurements of a kidney and its tumours."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform
from skimage.measure import find_contours

from kits_core.labels import Label
from kits_core.plan.anatomy import Kidney, Points, Tumor
from kits_core.plan.measurement import MARGINS_MM, Value
from kits_core.plan.shape import Shape, nearest_gap_mm, rounded_shape_of, shape_of
from kits_core.plan.sinus import Outline, find_sinus, outline_of

_SAMPLES = 100_000
_DIRECTIONS = 4
_NO_TISSUE = "no kidney beside it"
_NO_SINUS = "the kidney's shape shows no sinus"


@dataclass(frozen=True, eq=False)
class Line:
    """A diameter: its length, and both ends `(2, 3)` in grid mm."""

    mm: float
    ends: Points


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A kidney's shapes, in grid mm; None where there is no such thing. `organ`: all of it together.

    `tumors`: by number, without edges, for lengths and areas, which voxels' corners make larger. `reach`: the same
    tumours as far as their masks reach, for distances.
    """

    kidney: Kidney
    organ: Shape
    tissue: Shape | None
    cyst: Shape | None
    outline: Outline | None
    sinus: Shape | None
    tumors: dict[int, Shape]
    reach: dict[int, Shape]

    @cached_property
    def tissue_points(self) -> Points:
        """The middles of all voxels of kidney tissue: float64 `(n, 3)`, grid mm."""
        return np.argwhere(self.kidney.mask(Label.KIDNEY)) * np.array(self.kidney.patch.spacing_mm)


@dataclass(frozen=True, eq=False)
class MeasuredTumor:
    """`axial`: the largest diameter in an axial plane."""

    number: int
    values: tuple[Value, ...]
    largest: Line
    axial: Line

    @property
    def by_name(self) -> dict[str, float | None]:
        """Every value by its name."""
        return {value.name: value.value for value in self.values}


def surroundings(kidney: Kidney) -> Surroundings:
    """The shapes that a kidney's measurements are made of."""
    spacing = kidney.patch.spacing_mm
    tissue, cyst = (
        shape_of(kidney.mask(label), spacing) if kidney.mask(label).any() else None
        for label in (Label.KIDNEY, Label.CYST)
    )
    organ = shape_of(kidney.patch.labels > 0, spacing)
    outline = outline_of(tissue) if tissue else None
    return Surroundings(
        kidney=kidney,
        organ=organ,
        tissue=tissue,
        cyst=cyst,
        outline=outline,
        sinus=find_sinus(tissue, organ, outline, kidney.side) if tissue and outline else None,
        tumors={tumor.number: rounded_shape_of(tumor.mask, spacing) for tumor in kidney.tumors},
        reach={tumor.number: shape_of(tumor.mask, spacing) for tumor in kidney.tumors},
    )


def measure_kidney(around: Surroundings) -> tuple[Value, ...]:
    """Volumes and length of a kidney."""
    kidney = around.kidney
    names = {"parenchyma_ml": Label.KIDNEY, "tumor_ml": Label.TUMOR, "cyst_ml": Label.CYST}
    volumes = [
        Value(name, float(np.count_nonzero(kidney.mask(label))) * kidney.patch.voxel_ml)
        for name, label in names.items()
    ]
    if around.tissue is None:
        return (*volumes, Value("length_mm", None, _NO_TISSUE))
    return (*volumes, Value("length_mm", _longest(around.tissue.farthest_out(_DIRECTIONS)).mm))


def measure_tumor(tumor: Tumor, around: Surroundings) -> MeasuredTumor:
    """Everything that is measured of a tumour."""
    shape = around.tumors[tumor.number]
    largest, axial = _longest(shape.farthest_out(_DIRECTIONS)), _longest_axial(shape)
    inside = shape.inside(_SAMPLES)
    values = (
        Value("volume_ml", float(np.count_nonzero(tumor.mask)) * around.kidney.patch.voxel_ml),
        Value("diameter_mm", largest.mm),
        Value("axial_diameter_mm", axial.mm),
        *_in_the_kidney(shape, inside, around),
        *_distances(tumor, around),
        *_place(inside, around),
        *_left(around.reach[tumor.number], around),
    )
    return MeasuredTumor(tumor.number, values, largest, axial)


def _in_the_kidney(shape: Shape, inside: Points, around: Surroundings) -> Iterator[Value]:
    if around.tissue is None or around.outline is None:
        yield Value("exophytic_fraction", None, _NO_TISSUE)
        yield Value("contact_mm2", None, _NO_TISSUE)
        return
    yield Value("exophytic_fraction", float(1 - around.outline.holds(inside).mean()))
    faces = np.asarray(shape.mesh.triangles_center)
    # A face belongs to the nearer one: kidney tissue or the organ's own surface.
    on_tissue = around.tissue.at(faces) < -around.organ.at(faces)
    yield Value("contact_mm2", float(np.asarray(shape.mesh.area_faces)[on_tissue].sum()))


def _distances(tumor: Tumor, around: Surroundings) -> Iterator[Value]:
    shape = around.reach[tumor.number]
    others = [other for number, other in around.reach.items() if number != tumor.number]
    if around.tissue is None:
        names = ("sinus_distance_mm", "cyst_distance_mm", "tumor_distance_mm")
        yield from (Value(name, None, _NO_TISSUE) for name in names)
        return
    for name, shapes, why_none in (
        ("sinus_distance_mm", [around.sinus], _NO_SINUS),
        ("cyst_distance_mm", [around.cyst], "no cyst of the same kidney"),
        ("tumor_distance_mm", others, "no other tumour of the same kidney"),
    ):
        there = [other for other in shapes if other is not None]
        yield Value(name, nearest_gap_mm(shape, there)) if there else Value(name, None, why_none)


def _place(inside: Points, around: Surroundings) -> Iterator[Value]:
    if around.sinus is None or around.outline is None:
        why_none = _NO_SINUS if around.tissue else _NO_TISSUE
        yield from (Value(name, None, why_none) for name in ("above_fraction", "below_fraction"))
    else:
        heights = np.asarray(around.sinus.mesh.vertices)[:, 2]
        yield Value("above_fraction", float((inside[:, 2] > heights.max()).mean()))
        yield Value("below_fraction", float((inside[:, 2] < heights.min()).mean()))
    if around.outline is None or around.tissue is None:
        yield from (Value(name, None, _NO_TISSUE) for name in ("across_middle_fraction", "anterior_fraction"))
    else:
        above = float((inside[:, 2] > np.asarray(around.tissue.mesh.bounds)[:, 2].mean()).mean())
        yield Value("across_middle_fraction", min(above, 1 - above))
        forward = _forward(around.outline, around.sinus)
        yield Value("anterior_fraction", float(((inside - around.outline.centre) @ forward > 0).mean()))


def _forward(outline: Outline, sinus: Shape | None) -> Points:
    """The direction from the kidney's back to its front, in the axial plane, square to that towards its sinus."""
    if sinus is None:
        return np.array([0.0, 1.0, 0.0])
    x, y, _ = np.asarray(sinus.mesh.center_mass) - outline.centre
    front = np.array([-y, x, 0.0]) / np.hypot(x, y)
    return front if front[1] > 0 else -front


def _left(shape: Shape, around: Surroundings) -> Iterator[Value]:
    patch = around.kidney.patch
    tissue, (low, high) = around.tissue_points, np.asarray(shape.mesh.bounds)
    reach = max(MARGINS_MM)
    near = tissue[((tissue >= low - reach) & (tissue <= high + reach)).all(axis=1)]
    near = near[shape.at(near) <= reach + 5]
    distances, _ = shape.mesh.kdtree.query(near)
    for margin in MARGINS_MM:
        lost = np.count_nonzero(distances <= margin) if margin else 0
        name = f"parenchyma_left_{margin}mm_ml"
        yield Value(name, float(len(tissue) - lost) * patch.voxel_ml) if len(tissue) else Value(name, None, _NO_TISSUE)


def _longest(points: Points) -> Line:
    """The largest distance between two of the points `(n, 2)` or `(n, 3)`, some thousand at most."""
    distances = pdist(points)
    a, b = np.unravel_index(squareform(distances).argmax(), (len(points),) * 2)
    return Line(float(distances.max()), points[[a, b]])


def _longest_axial(shape: Shape) -> Line:
    best = Line(0.0, np.zeros((2, 3)))
    for k in range(shape.field.shape[2]):
        outlines = find_contours(shape.field[:, :, k], 0.0)
        if not outlines:
            continue
        line = _longest(_corners(np.concatenate(outlines)) * shape.step_mm)
        if line.mm > best.mm:
            ends = np.column_stack([line.ends, np.full(2, k * shape.step_mm)])
            best = Line(line.mm, ends + shape.origin_mm)
    return best


def _corners(points: Points) -> Points:
    return np.asarray(points[ConvexHull(points).vertices])
