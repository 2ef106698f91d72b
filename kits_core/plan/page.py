"""The plan as one HTML file: a 3-D view, slices, measurements, flags and lineage. It needs no network."""

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from kits_core.geometry import Volume
from kits_core.geometry.volume import canonical
from kits_core.pages import environment
from kits_core.plan.colors import BACKGROUND, css
from kits_core.plan.measurement import MEASUREMENTS
from kits_core.plan.plan import FRAME, NOTICE, Plan
from kits_core.plan.sections import stacks_of
from kits_core.plan.structures import structure_map
from kits_core.plan.surfaces import Surface, surfaces_of
from kits_core.plan.tables import Line, kidney_table, tumor_table
from kits_core.scan.identity import Identity

_LIGHT = {"ambient": 0.55, "diffuse": 0.85, "specular": 0.3, "roughness": 0.5, "fresnel": 0.1}
_MOST_VERTICES = 40_000
"""Of the surfaces in the view: each costs 32 bytes of the page."""


@dataclass(frozen=True)
class PageFacts:
    """What a page says beside the plan.

    `flags`: what a reader must know of the scan. `lineage`: names and values. `licence`: of what the models were
    trained on, where it is known. `identity`: whose scan it is.
    """

    title: str
    created: str
    flags: Sequence[str]
    lineage: Mapping[str, str]
    licence: str = ""
    identity: Identity = field(default_factory=Identity)


def render(plan: Plan, image: Volume, facts: PageFacts) -> str:
    """The page as HTML text. `image`: the scan in HU that the plan's label map lies on."""
    tumors = {tumor.name: tumor.measured.number for _, tumor in plan.tumors}
    surfaces = sorted(surfaces_of(plan, _MOST_VERTICES), key=lambda surface: tumors.get(surface.name, len(tumors) + 1))
    names = [surface.name for surface in surfaces if not surface.is_estimate]
    about = plan.tumors[0][1].name if plan.tumors else names[0]
    turned = canonical(image)
    stacks = stacks_of(turned, structure_map(plan, turned, names), names, about)
    colors = {surface.name: css(surface.color) for surface in surfaces}
    titles = [(tumor.name, tumor.measured.number, kidney.side_title) for kidney, tumor in plan.tumors]
    return (
        environment("kits_core.plan")
        .get_template("plan.html.j2")
        .render(
            facts=facts,
            notice=NOTICE,
            frame=FRAME,
            plan=plan,
            plotly=_plotly(),
            figure=_in_a_script(json.loads(_figure(plan, surfaces).to_json())),
            surfaces=surfaces,
            colors=colors,
            stacks=stacks,
            slices=_in_a_script([asdict(stack) for stack in stacks]),
            tumor_table=tumor_table(
                [
                    Line(f"tumour {number}, {side}", tumor.measured.values, colors[name], str(tumor.renal))
                    for (name, number, side), (_, tumor) in zip(titles, plan.tumors, strict=True)
                ]
            ),
            kidney_table=kidney_table(
                [
                    Line(
                        "beside none" if kidney.side == "none" else kidney.side,
                        kidney.values,
                        colors.get(kidney.name, ""),
                    )
                    for kidney in plan.kidneys
                ]
            ),
            far=_eye_distance(surfaces),
            order=[surface.name for surface in surfaces],
            measurements=MEASUREMENTS,
        )
    )


@cache
def _plotly() -> Markup:
    """Plotly's script, gzipped, in base64: 1.9 MB instead of 4.8. The page unpacks it."""
    packed = gzip.compress(get_plotlyjs().encode(), 9, mtime=0)
    return Markup(base64.b64encode(packed).decode())  # noqa: S704 - base64 has no markup


def _in_a_script(value: object) -> Markup:
    """JSON for a script element, which nothing in it can end."""
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))  # noqa: S704 - escaped here


def _figure(plan: Plan, surfaces: Sequence[Surface]) -> go.Figure:
    """Plotly's figure. Traces are in the order of `surfaces`, then the diameters."""
    traces: list[go.Mesh3d | go.Scatter3d] = [_mesh(surface) for surface in surfaces]
    for kidney, tumor in plan.tumors:
        line, number = tumor.measured.largest, tumor.measured.number
        x, y, z = kidney.around.kidney.patch.to_lps(line.ends).T
        text = f"tumour {number}: {line.mm:.0f} mm"
        traces.append(
            go.Scatter3d(
                x=x, y=y, z=z, mode="lines+markers+text", name=text, hovertext=text, hoverinfo="text",
                text=[str(number), ""], textfont={"color": "white", "size": 15}, textposition="top center",
                showlegend=False, line={"color": "white", "width": 5}, marker={"color": "white", "size": 4},
            )
        )  # fmt: skip
    far = _eye_distance(surfaces)
    hidden = {"visible": False, "showspikes": False}
    figure = go.Figure(traces)
    figure.update_layout(
        template="none",
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor=css(BACKGROUND),
        showlegend=False,
        scene={
            "aspectmode": "data",
            "xaxis": hidden,
            "yaxis": hidden,
            "zaxis": hidden,
            "camera": {"eye": {"x": 0, "y": -far, "z": far / 10}, "up": {"x": 0, "y": 0, "z": 1}},
            "dragmode": "orbit",
        },
    )
    return figure


def _eye_distance(surfaces: Sequence[Surface]) -> float:
    """From where all of it is seen, from any side; Plotly's unit is the geometric mean of the scene's three extents."""
    bounds = np.array([surface.mesh.bounds for surface in surfaces])
    extents = bounds[:, 1].max(axis=0) - bounds[:, 0].min(axis=0)
    return float(extents.max() / np.prod(extents) ** (1 / 3)) + 0.3


def _mesh(surface: Surface) -> go.Mesh3d:
    x, y, z = np.asarray(surface.mesh.vertices, dtype=np.float32).T
    faces = np.asarray(surface.mesh.faces)
    i, j, k = faces.astype(np.uint16 if faces.max() < 1 << 16 else np.uint32).T
    return go.Mesh3d(
        x=x, y=y, z=z, i=i, j=j, k=k,
        color=css(surface.color), opacity=surface.opacity, name=surface.title,
        hoverinfo="name", lighting=_LIGHT, lightposition={"x": -20_000, "y": -60_000, "z": 60_000},
        visible=not surface.is_estimate, flatshading=False,
    )  # fmt: skip
