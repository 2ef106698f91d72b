"""A verb imports what it uses: whoever asks for a split again waits for no library that draws or learns."""

import subprocess
import sys

import pytest

HEAVY = {
    "tensorflow", "keras", "jax", "sklearn", "scipy", "pandas", "matplotlib", "seaborn", "skimage", "nibabel",
    "pydicom", "highdicom", "SimpleITK", "trimesh", "plotly", "tensorboardX",
}  # fmt: skip
MAY = {"pandas", "scipy", "nibabel", "pydicom"}
LIGHT, OTHERS = ("flows.parameters", "flows.split"), ("flows.ingest", "flows.prepare", "flows.train")


@pytest.mark.parametrize(("modules", "may"), [(LIGHT, set()), (OTHERS, MAY)])
def test_a_flow_loads_no_library_before_it_needs_it(modules, may):
    code = f"import sys, {', '.join(modules)}; print(*sorted({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= may
