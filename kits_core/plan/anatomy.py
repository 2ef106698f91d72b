"""Which kidney is which, and what belongs to it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, find_objects
from scipy.spatial import KDTree

from kits_core.geometry import Volume
from kits_core.geometry.body import body_box
from kits_core.geometry.boxes import Slices, bounding_box
from kits_core.geometry.volume import canonical
from kits_core.labels import Label

Side = Literal["left", "right", "fused", "none"]
Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

SIDES: tuple[Side, ...] = ("left", "right", "fused", "none")
"""The side of a kidney; `none` is for a mass without a kidney beside it."""

_KIDNEY_ML = 5.0  # a part of kidney that is smaller is a speck of the one it lies next to
_TUMOR_MM3 = 50.0  # a quarter of the smallest tumour of KiTS23
_MOST_TUMORS = 20  # each takes about a second to measure, and a network that has learnt little sees hundreds
_BESIDE_MM = 30.0  # in 40 masks of KiTS23 nothing but a speck lies farther than this from a kidney
_APART_MM = 60.0  # two kidneys' centres are some 120 mm apart
_NO_SIDE = 1 + SIDES.index("none")
_FUSED_SHARE = 0.2
_SAMPLE = 2000


@dataclass(frozen=True, eq=False)
class Patch:
    """A part of a label map whose axes point to the patient's right, front and head (RAS).

    `labels`: uint8 `(x, y, z)`. `affine`: float64 `(4, 4)`, voxel index to RAS millimetres. "Grid mm" are voxel indices
    times the spacing: distances and angles in them are the patient's.
    """

    labels: Labels
    affine: NDArray[np.float64]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centres along each axis."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def to_lps(self, grid_mm: Points) -> Points:
        """Points `(n, 3)` in grid mm as DICOM's patient millimetres: to the left, back and head."""
        ras = grid_mm / self.spacing_mm @ self.affine[:3, :3].T + self.affine[:3, 3]
        return np.asarray(ras * (-1.0, -1.0, 1.0))

    def cut(self, box: Slices) -> "Patch":
        """The part of it in a box of voxels, with labels of its own."""
        affine = self.affine.copy()
        affine[:3, 3] += self.affine[:3, :3] @ [part.start for part in box]
        return Patch(self.labels[box].copy(), affine)


@dataclass(frozen=True, eq=False)
class Tumor:
    """A connected tumour. `number`: from 1, the largest of both kidneys first. `mask`: on its kidney's patch."""

    number: int
    mask: Mask


@dataclass(frozen=True, eq=False)
class Kidney:
    """A kidney with its own tumours and cysts, and nothing else, on a patch of its own.

    With the side `none`: no kidney, but the tumours and cysts that lie beside none.
    """

    side: Side
    patch: Patch
    tumors: tuple[Tumor, ...]

    def mask(self, *labels: Label) -> Mask:
        """Where one of `labels` is."""
        return np.isin(self.patch.labels, labels)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The structures of a label map: the left kidney first, and last what lies beside no kidney.

    `specks_ml`: volume of parts too small to be a tumour, and of tumours beyond the 20 largest. `remarks`: what a
    reader must know, for example that a kidney is absent.
    """

    kidneys: tuple[Kidney, ...]
    specks_ml: float
    remarks: tuple[str, ...]


def find_anatomy(labels: Volume, image: Volume | None = None) -> Anatomy | None:
    """Tell the kidneys apart, and give each its tumours and cysts; None where nothing is labelled.

    `labels`: uint8, values of `Label`, in any orientation. `image`: HU on the same grid; the middle of its body tells
    left from right where there is one kidney only, and without an image the middle of the grid does. Two kidneys lie
    left and right of the plane midway between them. One that has a fifth or more of its parenchyma on either side of
    the middle is called fused. A tumour or cyst belongs to the kidney that most of it is next to, and to
    none, without a side, where there is no kidney within 30 mm of it.
    """
    turned = canonical(labels)
    whole = Patch(np.asarray(turned.data, dtype=np.uint8), turned.affine)
    box = bounding_box(whole.labels)
    if box is None:
        return None
    start = box[0].start
    patch = whole.cut(box)
    parts = _large_parts(patch)
    body = (turned.shape[0] - 1) / 2 if image is None else float(np.mean(body_box(canonical(image))[0]))
    middle, apart = _middle_vox(patch, parts, body - start)
    sides = _sides(parts, middle, apart=apart)
    own = _owned(patch, parts, sides)
    numbers, specks_ml = _numbered_tumors(patch)
    kidneys = [_kidney(patch, numbers, own == place, side) for place, side in enumerate(SIDES, 1) if place in own]
    return Anatomy(tuple(kidneys), specks_ml, tuple(_remarks(kidneys, specks_ml)))


def _large_parts(patch: Patch) -> NDArray[np.uint32]:
    """Connected kidney of 5 ml or more numbered from 1, or the largest there is; 0 elsewhere."""
    parts = _components(patch.labels == Label.KIDNEY)
    ml = np.bincount(parts.ravel()) * patch.voxel_ml
    ml[0] = 0.0
    large = np.flatnonzero(ml >= min(_KIDNEY_ML, ml.max())) if ml.max() > 0 else np.zeros(0, np.int64)
    renumbered = np.zeros(ml.size, np.uint32)
    renumbered[large] = np.arange(1, large.size + 1)
    return renumbered[parts]


def _middle_vox(patch: Patch, parts: NDArray[np.uint32], body: float) -> tuple[float, bool]:
    """Where the patient's middle is along the first axis, and whether two kidneys lie apart from each other."""
    x = [float(np.average(np.arange(parts.shape[0]), weights=np.count_nonzero(parts == n, axis=(1, 2))))
         for n in range(1, int(parts.max()) + 1)]  # fmt: skip
    if x and (max(x) - min(x)) * patch.spacing_mm[0] >= _APART_MM:
        return (max(x) + min(x)) / 2, True
    return body, False


def _sides(parts: NDArray[np.uint32], middle: float, *, apart: bool) -> list[Side]:
    """The side of each part. To the right are larger indices."""
    sides: list[Side] = []
    for number in range(1, int(parts.max()) + 1):
        along = np.count_nonzero(parts == number, axis=(1, 2))
        right = float(along[max(0, int(np.ceil(middle))) :].sum() / along.sum())
        if not apart and _FUSED_SHARE <= right <= 1 - _FUSED_SHARE:
            sides.append("fused")
        else:
            sides.append("right" if right > 0.5 else "left")
    return ["fused"] * len(sides) if "fused" in sides else sides


def _owned(patch: Patch, parts: NDArray[np.uint32], sides: list[Side]) -> Labels:
    """The place in `SIDES`, from 1, of the kidney that each labelled voxel belongs to; uint8, 0 for background."""
    seeds = np.array([0, *(SIDES.index(side) + 1 for side in sides)], np.uint8)[parts]
    surfaces = {place: np.argwhere(_shell(seeds == place)) * patch.spacing_mm for place in np.unique(seeds[seeds > 0])}
    trees = {int(place): KDTree(points) for place, points in surfaces.items()}
    owned = seeds.copy()
    for label in (Label.KIDNEY, Label.TUMOR, Label.CYST):
        rest = _components((patch.labels == label) & (seeds == 0))
        places = np.zeros(int(rest.max()) + 1, np.uint8)
        for number, box in enumerate(find_objects(rest), start=1):
            voxels = np.argwhere(rest[box] == number) + [part.start for part in box]
            is_speck = len(voxels) * patch.voxel_ml * 1000 < _TUMOR_MM3
            reach_mm = np.inf if label == Label.KIDNEY or is_speck else _BESIDE_MM
            places[number] = _nearest(voxels * patch.spacing_mm, trees, reach_mm)
        owned = np.where(rest > 0, places[rest], owned)
    return owned


def _nearest(points: Points, trees: Mapping[int, Any], reach_mm: float) -> int:
    """The place that most of the points are nearest to, or that of `none` where none is within `reach_mm` of it."""
    if not trees:
        return _NO_SIDE
    sample = points[:: max(1, len(points) // _SAMPLE)]
    places = list(trees)
    distances = np.array([trees[place].query(sample)[0] for place in places])
    most = int(np.bincount(distances.argmin(axis=0)).argmax())
    return places[most] if distances[most].min() <= reach_mm else _NO_SIDE


def _numbered_tumors(patch: Patch) -> tuple[NDArray[np.uint32], float]:
    """Connected tumours numbered by size from 1, and the volume of those left out because they are too small."""
    parts = _components(patch.labels == Label.TUMOR)
    ml = np.bincount(parts.ravel()) * patch.voxel_ml
    ml[0] = 0.0
    order = np.argsort(-ml, kind="stable")
    order = order[ml[order] * 1000 >= _TUMOR_MM3][:_MOST_TUMORS]
    numbers = np.zeros(ml.size, np.uint32)
    numbers[order] = np.arange(1, order.size + 1)
    return numbers[parts], float(ml.sum() - ml[order].sum())


def _kidney(patch: Patch, numbers: NDArray[np.uint32], own: Mask, side: Side) -> Kidney:
    box = bounding_box(own)
    if box is None:
        raise ValueError(f"expected voxels of the {side} kidney, got none")
    numbers = np.where(own[box], numbers[box], 0)
    cut = patch.cut(box)
    cut.labels[~own[box]] = Label.BACKGROUND
    tumors = tuple(Tumor(int(number), numbers == number) for number in np.unique(numbers[numbers > 0]))
    return Kidney(side, cut, tumors)


def _remarks(kidneys: list[Kidney], specks_ml: float) -> Iterator[str]:
    sides = [kidney.side for kidney in kidneys]
    if sides == ["none"]:
        yield "No kidney was found, so that nothing has a side."
    elif "fused" in sides:
        yield "The kidneys hang together across the middle: measured as one, called fused."
    else:
        for side in ("left", "right"):
            if side not in sides:
                yield f"No {side} kidney was found."
    if "none" in sides[1:]:
        lone = kidneys[-1]
        ml = float(np.count_nonzero(lone.patch.labels)) * lone.patch.voxel_ml
        yield f"{ml:.1f} ml of tumour or cyst lie more than {_BESIDE_MM:.0f} mm from any kidney, and have no side."
    if not any(kidney.tumors for kidney in kidneys):
        yield "No tumour was found."
    if specks_ml > 0:
        many = sum(len(kidney.tumors) for kidney in kidneys) >= _MOST_TUMORS
        small = "Specks of tumour of less than 0.05 ml each"
        left_out = f"All but the {_MOST_TUMORS} largest tumours" if many else small
        yield f"{left_out} were left out, {specks_ml:.2f} ml in all."


def _components(mask: Mask) -> NDArray[np.uint32]:
    return np.asarray(cc3d.connected_components(np.ascontiguousarray(mask), connectivity=26, out_dtype=np.uint32))


def _shell(mask: Mask) -> Mask:
    """The mask's voxels that have a neighbour outside of it across a face."""
    return mask & ~binary_erosion(mask)
