"""A plan's surfaces as files for printers and viewers: an STL each, and one coloured GLB."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from trimesh.visual.material import PBRMaterial

from kits_core.files import written_aside
from kits_core.labels import Label
from kits_core.plan.anatomy import Kidney
from kits_core.plan.colors import CYST, KIDNEY, SINUS, Color, tumor_color
from kits_core.plan.plan import FRAME, NOTICE, Plan, PlannedKidney
from kits_core.plan.shape import Shape, rounded_shape_of

GLB = "surfaces.glb"


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface in patient millimetres (LPS), normals outwards. `is_estimate`: estimated, not labelled.

    `color`: red, green, blue from 0 to 255. `opacity`: from 0 to 1.
    """

    name: str
    title: str
    mesh: trimesh.Trimesh
    color: Color
    opacity: float
    is_estimate: bool = False


_OPACITY = {"kidney": 0.42, "tumor": 1.0, "cyst": 0.7, "sinus": 0.5}
_SMALL = 2_000
"""Vertices of a surface that is never made coarser."""


def surfaces_of(plan: Plan, most_vertices: int | None = None) -> Iterator[Surface]:
    """The surfaces of kidney tissue, cysts, the estimated sinus and each tumour.

    `most_vertices`: about so many in all, beside 2,000 of each: the large ones are made coarser for that, by whole
    steps of their grid, as suits a picture. None keeps all, as suits a printer.
    """
    found = list(_parts(plan))
    stride = 1
    if most_vertices is not None:
        large = sum(count for *_, shape in found if (count := len(shape.mesh.vertices)) > _SMALL)
        stride = max(1, math.ceil(math.sqrt(large / most_vertices)))
    for kind, name, title, color, kidney, shape in found:
        shown = shape.coarser(stride) if stride > 1 and len(shape.mesh.vertices) > _SMALL else shape
        points = kidney.around.kidney.patch.to_lps(np.asarray(shown.mesh.vertices))
        mesh = trimesh.Trimesh(points, shown.mesh.faces, process=False)
        yield Surface(name, title, mesh, color, _OPACITY[kind], is_estimate=kind == "sinus")


def _parts(plan: Plan) -> Iterator[tuple[str, str, str, Color, PlannedKidney, Shape]]:
    """Kind, name, title, colour, kidney and shape of each."""
    for kidney in plan.kidneys:
        side, around = kidney.side, kidney.around
        tissue, cyst = (_smooth(around.kidney, label) for label in (Label.KIDNEY, Label.CYST))
        if tissue:
            yield "kidney", kidney.name, kidney.title, KIDNEY, kidney, tissue
        if cyst:
            title = "cysts beside no kidney" if side == "none" else f"{side} cysts"
            yield "cyst", f"cyst_{side}", title, CYST, kidney, cyst
        if around.sinus:
            yield "sinus", f"sinus_{side}", f"{side} sinus, estimated", SINUS, kidney, around.sinus
        for tumor in kidney.tumors:
            number = tumor.measured.number
            title = f"tumour {number} ({kidney.side_title})"
            yield "tumor", tumor.name, title, tumor_color(number), kidney, around.tumors[number]


def write_surfaces(folder: Path, plan: Plan) -> list[Path]:
    """Write `<name>.stl` (binary) for all that is labelled, and all in colour as `surfaces.glb`; the files' paths.

    Coordinates are patient millimetres (LPS), in the GLB too, where the frame is stated among the scene's extras.
    """
    scene = trimesh.Scene(metadata={"frame": FRAME, "unit": "mm", "notice": NOTICE})
    written = []
    for surface in surfaces_of(plan):
        if not surface.is_estimate:
            written.append(folder / f"{surface.name}.stl")
            _write(written[-1], surface.mesh.export(file_type="stl"))
        color = [*surface.color, round(255 * surface.opacity)]
        material = PBRMaterial(
            name=surface.title,
            baseColorFactor=color,
            alphaMode="OPAQUE" if surface.opacity == 1 else "BLEND",
            metallicFactor=0.0,
            roughnessFactor=0.6,
        )
        colored = surface.mesh.copy()
        colored.visual = trimesh.visual.TextureVisuals(material=material)
        scene.add_geometry(colored, node_name=surface.name, geom_name=surface.name)
    written.append(folder / GLB)
    _write(written[-1], scene.export(file_type="glb"))
    return written


def _smooth(kidney: Kidney, label: Label) -> Shape | None:
    mask = kidney.mask(label)
    return rounded_shape_of(mask, kidney.patch.spacing_mm) if mask.any() else None


def _write(path: Path, content: bytes) -> None:
    with written_aside(path) as aside:
        aside.write_bytes(content)
