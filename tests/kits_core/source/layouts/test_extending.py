"""What docs/extending.md says of a layout is so: its code, in a module of that name, is all that it takes."""

import re
import sys
from pathlib import Path

import pytest

from flows.parameters import IngestParameters
from kits_core.errors import CaseError
from kits_core.source import layouts as package
from kits_core.source.opening import open_source

PAGE = Path(__file__).parents[4] / "docs" / "extending.md"


@pytest.fixture
def bids(tmp_path, monkeypatch):
    """The page's module, where the package looks for its layouts."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "bids.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "modules")])
    package.layouts.cache_clear()
    yield
    package.layouts.cache_clear()
    sys.modules.pop(f"{package.__name__}.bids", None)


@pytest.mark.usefixtures("bids")
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


def test_without_the_module_there_is_no_such_layout():
    with pytest.raises(ValueError, match="expected one of dicom, kits, msd, nnunet, pairs, got 'bids'"):
        IngestParameters(layout="bids")
