import json

import pytest

from kits_core.errors import CaseError
from kits_core.files import sha256_of
from kits_core.phantom.dataset import write_phantoms
from kits_core.plan.record import is_plan, read_plan, same_scan


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantoms")
    write_phantoms(root, 1, 3, shape=(24, 48, 48), spacing_mm=(8.0, 6.0, 6.0))
    return root / "case_00000" / "imaging.nii.gz"


def _write(folder, **others):
    record = {
        "scan": "ct", "source": "/ct.nii.gz", "identity": {"series_uid": None}, "prediction_id": 3,
        "lineage": {"scan SHA-256": "ab", "model": "1, epoch 2"},
    }  # fmt: skip
    (folder / "plan.json").write_text(json.dumps(record | others))


def test_what_a_plan_says_of_its_scan(tmp_path):
    assert not is_plan(tmp_path)
    _write(tmp_path)
    assert is_plan(tmp_path)
    found = read_plan(tmp_path)
    assert (found.name, found.source, found.series_uid, found.sha256) == ("ct", "/ct.nii.gz", None, "ab")
    assert (found.segmented_by, found.mask_sha256) == ("prediction 3 by model 1, epoch 2", None)


def test_a_plan_that_says_no_scan_is_refused(tmp_path):
    _write(tmp_path, lineage={})
    with pytest.raises(CaseError, match=r"one that cannot be read \(KeyError: 'scan SHA-256'\); make the plan again"):
        read_plan(tmp_path)
    (tmp_path / "plan.json").write_text("torn")
    with pytest.raises(CaseError, match="JSONDecodeError"):
        read_plan(tmp_path)


def test_the_same_scan_is_found_by_its_hash_among_others(scan):
    found = same_scan("ct", scan.parent, None, sha256_of(scan))
    assert (found.name, found.path, found.kind) == ("ct", scan, "nifti")
    with pytest.raises(CaseError, match="ct: expected the scan that the plan was made of"):
        same_scan("ct", scan, None, "0" * 64)
    with pytest.raises(CaseError, match=r"ct: expected the plan's scan at .* got nothing at this path; put the scan"):
        same_scan("ct", scan.parent / "none", None, "0" * 64)
