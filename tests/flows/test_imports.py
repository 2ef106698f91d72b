"""A verb imports what it uses: whoever asks for a split again waits for no library that draws or learns."""

import subprocess
import sys

import pytest

HEAVY = {
    "tensorflow", "keras", "jax", "sklearn", "scipy", "pandas", "matplotlib", "seaborn", "skimage", "nibabel",
    "pydicom", "highdicom", "SimpleITK", "trimesh", "plotly", "tensorboardX",
}  # fmt: skip
MAY = {
    "flows.parameters": set(),
    "flows.split": set(),
    "flows.ingest": {"pandas", "scipy", "nibabel", "pydicom"},
    "flows.prepare": {"pandas", "scipy", "nibabel", "pydicom"},
    "flows.train": {"pandas", "scipy", "nibabel", "pydicom"},
}


@pytest.mark.parametrize("module", MAY)
def test_a_flow_loads_no_library_before_it_needs_it(module):
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= MAY[module]
