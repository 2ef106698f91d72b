import json

import pytest

from kits_core.errors import CaseError
from kits_core.plan.files import PLAN, check_same_plan


def _plan(folder, **record):
    (folder / PLAN).write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_a_plan_gives_way_to_the_next_one_of_the_same_scan_and_mask_alone(tmp_path):
    check_same_plan(tmp_path, "ct", "/a/ct.nii")
    check_same_plan(_plan(tmp_path, source="/a/ct.nii"), "ct", "/a/ct.nii")
    check_same_plan(_plan(tmp_path, source="/a/ct.nii", mask="/m.nii"), "ct", "/a/ct.nii", "/m.nii")


@pytest.mark.parametrize(
    ("there", "asked", "words"),
    [
        ({"source": "/b/ct.nii"}, ("/a/ct.nii",), "no plan of another scan in .*, got one of /b/ct.nii"),
        ({"source": "/b/ct.nii", "mask": "/m"}, ("/a/ct.nii", "/m"), "of another scan in .*, got one of /b/ct.nii"),
        ({"source": "/a/ct.nii", "mask": "/m"}, ("/a/ct.nii",), "of another segmentation in .*, got one of /m"),
        ({"source": "/a/ct.nii"}, ("/a/ct.nii", "/m"), "of another segmentation in .*, got one of a model"),
        ({"source": "/a/ct.nii", "mask": "/n"}, ("/a/ct.nii", "/m"), "of another segmentation in .*, got one of /n"),
    ],
)
def test_the_plan_of_another_scan_or_mask_stays(tmp_path, there, asked, words):
    with pytest.raises(CaseError, match=words + "; choose another --out"):
        check_same_plan(_plan(tmp_path, **there), "ct", *asked)


def test_what_is_no_plan_is_left_to_the_look_at_each_file(tmp_path):
    for text in ("", "[]", "\xff"):
        (tmp_path / PLAN).write_text(text, encoding="utf-8")
        check_same_plan(tmp_path, "ct", "/a/ct.nii")
