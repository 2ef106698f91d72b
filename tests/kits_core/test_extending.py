"""What docs/extending.md says is so: the code of a part, in a module of that name, is all that it takes."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flows.parameters import IngestParameters
from kits_core.errors import CaseError
from kits_core.metrics import definitions
from kits_core.network import architectures, losses
from kits_core.network.config import TrainingConfig
from kits_core.recipe import Recipe
from kits_core.source import layouts
from kits_core.source.opening import open_source

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
PARTS = {"A layout of datasets": (layouts, "bids"), "An architecture": (architectures, "small_unet"),
         "A loss": (losses, "log_cosh_dice"), "A metric": (definitions, "precision")}  # fmt: skip
SCORED = """
import sys
import numpy as np
from kits_core.metrics import definitions
definitions.__path__.append(sys.argv[1])
from kits_core.metrics.case import missing_case, score_case
from deployments.reference.metrics import metrics_page
reference = np.zeros((4, 4, 4), np.uint8)
reference[1:3, 1:3, 1:3] = 2
prediction = np.zeros_like(reference)
prediction[1:3, 1:3] = 2
for scores in (score_case(prediction, reference, (1.0, 1.0, 1.0)), missing_case(reference, (1.0, 1.0, 1.0))):
    print(*((one.region, one.value) for one in scores if one.metric == "precision"))
print("precision (`precision`)" in metrics_page())
"""


@pytest.fixture(autouse=True)
def _modules(tmp_path, monkeypatch):
    """The page's modules, each where its package looks for such."""
    parts = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    assert [part.splitlines()[0] for part in parts] == [*PARTS, "A stage"]  # for which see tests/flows
    for part in parts[:-1]:
        package, name = PARTS[part.splitlines()[0]]
        (code,) = re.findall(r"```python\n(.*?)```", part, flags=re.DOTALL)
        folder = tmp_path / "modules" / package.__name__
        folder.mkdir(parents=True)
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    yield
    for package, name in PARTS.values():
        sys.modules.pop(f"{package.__name__}.{name}", None)


def test_a_module_is_all_that_a_layout_takes(tmp_path):
    root = tmp_path / "study"
    for path in ("sub-01/anat/sub-01_ct.nii.gz", "derivatives/labels/sub-01/anat/sub-01_dseg.nii.gz",
                 "sub-02/anat/sub-02_ct.nii.gz", "derivatives/labels/sub-03/anat/sub-03_dseg.nii.gz"):  # fmt: skip
        (root / path).parent.mkdir(parents=True)
        (root / path).write_bytes(b"x")
    source = open_source(str(root))
    assert (source.layout, source.cases()) == ("bids", ("sub-01", "sub-02", "sub-03"))
    assert source.locate("sub-01").segmentation.address.endswith("sub-01_dseg.nii.gz")
    assert source.locate("sub-02").segmentation is None
    with pytest.raises(CaseError, match="expected an image for its mask"):
        source.locate("sub-03")
    assert IngestParameters(source=str(root), layout="bids").layout == "bids"


def test_a_module_is_all_that_an_architecture_and_a_loss_take():
    """One step of a training with both, in which every weight changes."""
    from kits_core.network.backend import ops
    from kits_core.network.steps import steps_of
    from kits_core.network.training import build_model

    config = TrainingConfig(
        architecture="small_unet", loss="log_cosh_dice", filters=4, batch_size=1, deep_supervision=True
    )
    assert architectures.ARCHITECTURES.title(config.architecture) == "A small 3-D U-Net of four levels"
    model = build_model(config, Recipe(shape=32))
    before = [np.array(weights) for weights in model.trainable_variables]
    steps, rng = steps_of(model, config), np.random.default_rng(0)
    images = ops.convert_to_tensor(rng.normal(size=(1, 32, 32, 32, 1)).astype(np.float32))
    labels = ops.convert_to_tensor(rng.integers(0, 3, size=(1, 32, 32, 32, 1), dtype=np.uint8))
    steps.begin()
    (loss,) = steps.step(images, labels)
    steps.end()
    assert 0 < float(loss) < np.log(np.cosh(1))
    assert all(not np.array_equal(old, new) for old, new in zip(before, model.trainable_variables, strict=True))


def test_a_module_is_all_that_a_metric_takes(tmp_path):
    """In a process of its own: which metrics there are is read once."""
    folder = tmp_path / "modules" / definitions.__name__
    done = subprocess.run([sys.executable, "-c", SCORED, folder], capture_output=True, text=True, check=True)
    scored, missing, page = done.stdout.splitlines()
    assert scored == "('kidney', 1.0) ('tumor', 0.5) ('foreground', 0.5) ('kidney_and_mass', 0.5) ('mass', 0.5)"
    assert missing == scored.replace("1.0", "0.0").replace("0.5", "0.0")
    assert page == "True"


@pytest.mark.parametrize(
    ("model", "values", "words"),
    [
        (IngestParameters, {"layout": "tree"}, "expected one of bids, dicom, kits, msd, nnunet, pairs, got 'tree'"),
        (TrainingConfig, {"architecture": "tree"}, "one of plain_unet, residual_unet, resnet18_unet, small_unet, got"),
        (TrainingConfig, {"loss": "tree"}, "expected one of dice_cross_entropy, focal_tversky, log_cosh_dice, got"),
    ],
)
def test_what_has_no_module_is_refused(model, values, words):
    with pytest.raises(ValueError, match=words):
        model(**values)
