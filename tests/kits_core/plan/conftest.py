"""Analytic phantoms: spheres and ellipsoids whose every measurement has a closed form."""

from types import SimpleNamespace

import numpy as np
import pytest

from kits_core.geometry import Volume

KIDNEY, TUMOR, CYST, NOTHING = 1, 2, 3, 0


def paint(spacing_mm, solids, size_mm=(240, 130, 150)):
    """A label map in RAS about 0: `solids` are (label, centre, half axes), each laid over those before."""
    n = [int(size / mm) for size, mm in zip(size_mm, spacing_mm, strict=True)]
    x, y, z = np.meshgrid(
        *((np.arange(k) - (k - 1) / 2) * mm for k, mm in zip(n, spacing_mm, strict=True)), indexing="ij", sparse=True
    )
    labels = np.zeros(n, np.uint8)
    for label, centre, half in solids:
        a, b, c = np.broadcast_to(half, 3)
        inside = ((x - centre[0]) / a) ** 2 + ((y - centre[1]) / b) ** 2 + ((z - centre[2]) / c) ** 2 < 1
        labels[inside] = label
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = [-(k - 1) / 2 * mm for k, mm in zip(n, spacing_mm, strict=True)]
    return Volume(labels, affine)


@pytest.fixture(scope="session")
def phantom():
    """`paint` and the labels."""
    return SimpleNamespace(paint=paint, KIDNEY=KIDNEY, TUMOR=TUMOR, CYST=CYST, NOTHING=NOTHING)
