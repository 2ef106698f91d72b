import json

import numpy as np
import pytest
import trimesh

from kits_core.plan.plan import FRAME, make_plan
from kits_core.plan.surfaces import GLB, surfaces_of, write_surfaces


@pytest.fixture
def written(phantom, tmp_path):
    solids = [(1, (60, 0, 10), 30), (1, (-60, 0, 0), 30), (2, (60, 30, 10), 12), (3, (-60, 0, 25), 8)]
    write_surfaces(tmp_path, make_plan("case", phantom.paint((1.5, 1.5, 3), solids)))
    return tmp_path


def test_there_is_a_file_for_each_structure_and_one_of_all(written):
    names = ["cyst_left.stl", "kidney_left.stl", "kidney_right.stl", GLB, "tumor_1.stl"]
    assert sorted(path.name for path in written.iterdir()) == names


# Patient coordinates of DICOM: left and back are positive.
@pytest.mark.parametrize(("name", "radius", "centre"), [("tumor_1", 12, (-60, -30, 10)), ("cyst_left", 8, (60, 0, 25))])
def test_an_stl_is_closed_has_the_volume_and_lies_in_the_patient(written, name, radius, centre):
    mesh = trimesh.load(written / f"{name}.stl")
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.05)
    assert mesh.center_mass == pytest.approx(centre, abs=0.6)


def test_the_glb_has_all_in_colour_in_the_same_millimetres_and_says_the_frame(written):
    scene = trimesh.load(written / GLB)
    assert sorted(scene.geometry) == ["cyst_left", "kidney_left", "kidney_right", "tumor_1"]
    assert FRAME in json.dumps(scene.metadata)
    assert scene.geometry["tumor_1"].center_mass == pytest.approx((-60, -30, 10), abs=0.6)
    colors = {tuple(mesh.visual.material.baseColorFactor) for mesh in scene.geometry.values()}
    assert len(colors) == 3


def test_for_a_picture_large_surfaces_are_coarser_and_hardly_elsewhere(phantom):
    plan = make_plan("case", phantom.paint((1.5, 1.5, 3), [(1, (60, 0, 10), 30), (1, (-60, 0, 0), 30)]))
    whole = {surface.name: surface.mesh for surface in surfaces_of(plan)}
    few = {surface.name: surface.mesh for surface in surfaces_of(plan, 4_000)}
    assert sum(len(mesh.vertices) for mesh in whole.values()) > 12_000
    assert sum(len(mesh.vertices) for mesh in few.values()) < 5_000
    for name, mesh in few.items():
        assert mesh.is_watertight
        assert mesh.volume == pytest.approx(whole[name].volume, rel=0.02)
        apart, _ = whole[name].kdtree.query(mesh.vertices)
        assert apart.max() < 1.0
