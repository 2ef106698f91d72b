"""A plan's surfaces as files for printers and viewers: an STL each, and one coloured GLB."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from trimesh.visual.material import PBRMaterial

from kits_core.files import written_aside
from kits_core.labels import Label
from kits_core.plan.anatomy import Kidney
from kits_core.plan.plan import FRAME, NOTICE, Plan
from kits_core.plan.shape import Shape, rounded_shape_of

GLB = "surfaces.glb"


@dataclass(frozen=True, eq=False)
class Surface:
    """A closed surface in patient millimetres (LPS), normals outwards. `is_estimate`: not labelled, but concluded.

    `color`: red, green, blue from 0 to 255. `opacity`: from 0 to 1.
    """

    name: str
    title: str
    mesh: trimesh.Trimesh
    color: tuple[int, int, int]
    opacity: float
    is_estimate: bool = False


_LOOKS = {
    "kidney": ((222, 134, 110), 0.42),
    "tumor": ((240, 180, 30), 1.0),
    "cyst": ((70, 140, 220), 0.7),
    "sinus": ((235, 225, 180), 0.5),
}


def surfaces_of(plan: Plan) -> Iterator[Surface]:
    """The surfaces of kidney tissue, cysts, the estimated sinus and each tumour."""
    for kidney in plan.kidneys:
        side, around, patch = kidney.side, kidney.around, kidney.around.kidney.patch
        tissue, cyst = (_smooth(around.kidney, label) for label in (Label.KIDNEY, Label.CYST))
        found: list[tuple[str, str, str, Shape | None]] = [
            ("kidney", kidney.name, kidney.title, tissue),
            ("cyst", f"cyst_{side}", "cysts beside no kidney" if side == "none" else f"{side} cysts", cyst),
            ("sinus", f"sinus_{side}", f"{side} sinus, estimated", around.sinus),
        ]
        found += [
            (
                "tumor",
                tumor.name,
                f"tumour {tumor.measured.number} ({kidney.side_title})",
                around.tumors[tumor.measured.number],
            )
            for tumor in kidney.tumors
        ]
        for kind, name, title, shape in found:
            if shape is not None:
                points = patch.to_lps(np.asarray(shape.mesh.vertices))
                mesh = trimesh.Trimesh(points, shape.mesh.faces, process=False)
                yield Surface(name, title, mesh, *_LOOKS[kind], is_estimate=kind == "sinus")


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
