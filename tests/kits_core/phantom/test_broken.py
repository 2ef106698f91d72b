import gzip
import shutil

import nibabel as nib
import numpy as np
import pytest

from kits_core.errors import CaseError
from kits_core.phantom.broken import Damage, damage
from kits_core.phantom.dataset import write_phantoms
from kits_core.source.convert import convert_image, convert_segmentation
from kits_core.source.opening import open_source
from kits_core.source.verify import check_hounsfield, check_pair


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    write_phantoms(root, 2, 1, shape=(24, 32, 32), spacing_mm=(8.0, 8.0, 8.0))
    return root


def _take_in(case, target):
    image = convert_image(case / "imaging.nii.gz", target / "i.nii")
    check_hounsfield(case.name, image.hu_min, image.hu_percentiles)
    segmentation = convert_segmentation(case / "segmentation.nii.gz", target / "s.nii")
    check_pair(case.name, image.facts, segmentation.facts)


@pytest.mark.parametrize("kind", list(Damage))
def test_every_damage_is_refused_and_the_other_case_is_not_touched(whole, tmp_path, kind):
    root = tmp_path / "data"
    shutil.copytree(whole, root)
    _take_in(root / "case_00001", tmp_path)
    path = damage(root, "case_00001", kind)
    with pytest.raises(CaseError, match="case_00001: expected"):
        _take_in(root / "case_00001", tmp_path)
    assert path.stat().st_size < 2 << 20
    _take_in(root / "case_00000", tmp_path)
    # It is the content that is wrong: the hash that the source states is that of the damaged file.
    located = open_source(str(root)).locate("case_00001")
    assert {located.image.sha256, located.segmentation.sha256}.isdisjoint(
        {open_source(str(whole)).locate("case_00001").image.sha256}
        if path.name == "imaging.nii.gz"
        else {open_source(str(whole)).locate("case_00001").segmentation.sha256}
    )


def test_what_the_damages_of_values_look_like(whole, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(whole, root)
    before = np.asarray(nib.load(root / "case_00000" / "imaging.nii.gz").dataobj)
    after = np.asarray(nib.load(damage(root, "case_00000", Damage.OFFSET_HU)).dataobj)
    assert np.array_equal(after, before + 1024)
    normalised = np.asarray(nib.load(damage(root, "case_00000", Damage.NOT_HU)).dataobj)
    assert (normalised.min(), normalised.max()) == (0, 1)
    bomb = damage(root, "case_00001", Damage.BOMB)
    assert len(gzip.decompress(bomb.read_bytes())) > 100 * bomb.stat().st_size
