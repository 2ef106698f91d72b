"""The plan as one HTML file: a 3-D view, slices, measurements, flags and lineage. It needs no network."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kits_core.geometry import Volume
from kits_core.plan.anatomy import canonical
from kits_core.plan.measurement import BY_NAME, MEASUREMENTS, Value
from kits_core.plan.plan import FRAME, NOTICE, Plan
from kits_core.plan.sections import stacks_of
from kits_core.plan.structures import structure_map
from kits_core.plan.surfaces import Surface, surfaces_of

_BACKGROUND = "#10161d"
_LIGHT = {"ambient": 0.55, "diffuse": 0.85, "specular": 0.3, "roughness": 0.5, "fresnel": 0.1}


@dataclass(frozen=True)
class PageFacts:
    """What a page says beside the plan.

    `flags`: what a reader must know of the scan. `lineage`: names and values. `licence`: of what the models were
    trained on, where it is known.
    """

    title: str
    created: str
    flags: Sequence[str]
    lineage: Mapping[str, str]
    licence: str = ""


@dataclass(frozen=True)
class TableRow:
    """A measurement and a text for each structure."""

    title: str
    definition: str
    texts: tuple[str, ...]


def render(plan: Plan, image: Volume, facts: PageFacts) -> str:
    """The page as HTML text. `image`: the scan in HU that the plan's label map lies on."""
    surfaces = list(surfaces_of(plan))
    names = [surface.name for surface in surfaces if not surface.is_estimate]
    about = plan.tumors[0][1].name if plan.tumors else names[0]
    turned = canonical(image)
    stacks = stacks_of(turned, structure_map(plan, turned, names), names, about)
    environment = Environment(loader=PackageLoader("kits_core.plan", "."), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("plan.html.j2").render(
        facts=facts,
        notice=NOTICE,
        frame=FRAME,
        plan=plan,
        view=Markup(_view(plan, surfaces)),  # noqa: S704 - Plotly's own markup
        surfaces=surfaces,
        colors={surface.name: "rgb({},{},{})".format(*surface.color) for surface in surfaces},
        stacks=stacks,
        slices=Markup(json.dumps([asdict(stack) for stack in stacks]).replace("</", "<\\/")),  # noqa: S704 - in a script
        tumor_rows=_table([tumor.measured.values for _, tumor in plan.tumors]),
        kidney_rows=_table([kidney.values for kidney in plan.kidneys]),
        tumor_titles=[f"tumour {tumor.measured.number}, {kidney.side_title}" for kidney, tumor in plan.tumors],
        kidney_titles=[kidney.side_title for kidney in plan.kidneys],
        far=_eye_distance(surfaces),
        order=[surface.name for surface in surfaces],
        measurements=MEASUREMENTS,
    )


def _view(plan: Plan, surfaces: Sequence[Surface]) -> str:
    """Plotly's 3-D view as HTML with its whole library. Traces are in the order of `surfaces`, then the diameters."""
    traces: list[go.Mesh3d | go.Scatter3d] = [_mesh(surface) for surface in surfaces]
    for kidney, tumor in plan.tumors:
        line = tumor.measured.largest
        x, y, z = kidney.around.kidney.patch.to_lps(line.ends).T
        text = f"tumour {tumor.measured.number}: {line.mm:.0f} mm"
        traces.append(
            go.Scatter3d(
                x=x, y=y, z=z, mode="lines+markers", name=text, hovertext=text, hoverinfo="text", showlegend=False,
                line={"color": "white", "width": 5}, marker={"color": "white", "size": 4},
            )
        )  # fmt: skip
    far = _eye_distance(surfaces)
    hidden = {"visible": False, "showspikes": False}
    figure = go.Figure(traces)
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        paper_bgcolor=_BACKGROUND,
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
    config = {
        "displaylogo": False,
        "responsive": True,
        "modeBarButtonsToRemove": ["resetCameraLastSave3d", "tableRotation"],
    }
    return figure.to_html(full_html=False, include_plotlyjs=True, div_id="view3d", config=config, default_height="100%")


def _eye_distance(surfaces: Sequence[Surface]) -> float:
    """From where all of it is seen, from any side; Plotly's unit is the geometric mean of the scene's three extents."""
    bounds = np.array([surface.mesh.bounds for surface in surfaces])
    extents = bounds[:, 1].max(axis=0) - bounds[:, 0].min(axis=0)
    return float(extents.max() / np.prod(extents) ** (1 / 3)) + 0.3


def _mesh(surface: Surface) -> go.Mesh3d:
    x, y, z = np.asarray(surface.mesh.vertices, dtype=np.float32).T
    i, j, k = np.asarray(surface.mesh.faces, dtype=np.uint32).T
    return go.Mesh3d(
        x=x, y=y, z=z, i=i, j=j, k=k,
        color="rgb({},{},{})".format(*surface.color), opacity=surface.opacity, name=surface.title,
        hoverinfo="name", lighting=_LIGHT, lightposition={"x": -20_000, "y": -60_000, "z": 60_000},
        visible=not surface.is_estimate, flatshading=False,
    )  # fmt: skip


def _table(columns: Sequence[Sequence[Value]]) -> list[TableRow]:
    return [
        TableRow(
            BY_NAME[values[0].name].title,
            BY_NAME[values[0].name].definition,
            tuple(_text(value) for value in values),
        )
        for values in zip(*columns, strict=True)
    ]


def _text(value: Value) -> str:
    if value.value is None:
        return f"– ({value.why_none})"
    unit = BY_NAME[value.name].unit
    if unit == "1":
        return f"{value.value:.0%}"
    return f"{value.value:.1f} {unit}" if value.value < 1000 else f"{value.value:,.0f} {unit}"
