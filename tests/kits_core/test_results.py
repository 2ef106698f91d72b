import os

import pytest

from kits_core.errors import CaseError
from kits_core.results import NOTE, check_replaceable, put_in_place, sealed, set_aside_page, working_folder

LAST = "plan.json"


def _make(folder, **files):
    folder.mkdir(exist_ok=True, parents=True)
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def _texts(folder):
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_text() for name, path in files.items() if name != NOTE}


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "plans" / "a"
    put_in_place("a", _make(working_folder(folder), seg_nii="1", plan_json="1", surfaces__kidney_stl="1"), folder, LAST)
    return folder


def test_results_replace_their_own_and_what_is_left_over_goes(place):
    assert _texts(place) == {"seg.nii": "1", "plan.json": "1", "surfaces/kidney.stl": "1"}
    work = working_folder(place)
    (work / "surfaces" / "kidney.stl").unlink()
    put_in_place("a", _make(work, seg_nii="2", plan_json="2", surfaces__tumor_stl="2"), place, LAST)
    assert _texts(place) == {"seg.nii": "2", "plan.json": "2", "surfaces/tumor.stl": "2"}
    put_in_place("a", work, place, LAST)  # once more, as after a catalog that could not be written


def test_what_was_changed_or_put_there_by_others_stays_and_nothing_else_changes(place):
    (place / "seg.nii").write_text("corrected")
    (place / "notes.txt").write_text("mine")
    work = _make(working_folder(place), seg_nii="2", plan_json="2")
    with pytest.raises(CaseError, match=r"a: expected no file of someone else's .*/plans/a, got seg.nii, which kits"):
        put_in_place("a", work, place, LAST)
    kept = {"seg.nii": "corrected", "plan.json": "1", "surfaces/kidney.stl": "1", "notes.txt": "mine"}
    assert _texts(place) == kept
    (place / "seg.nii").rename(place / "seg_by_me.nii")
    put_in_place("a", work, place, LAST)
    assert _texts(place)["notes.txt"] == "mine"
    assert _texts(place)["seg_by_me.nii"] == "corrected"


def test_a_changed_file_that_would_only_be_removed_stays_too(place):
    (place / "surfaces" / "kidney.stl").write_text("smoothed")
    with pytest.raises(CaseError, match=r"got surfaces/kidney.stl"):
        put_in_place("a", _make(working_folder(place), seg_nii="2", plan_json="2"), place, LAST)


def test_a_folder_of_a_persons_own(tmp_path):
    folder = _make(tmp_path / "case_00001", seg_nii="by hand")
    with pytest.raises(CaseError, match=r"got seg.nii"):
        check_replaceable("a", folder, ["seg.nii", LAST], LAST)
    check_replaceable("a", folder, ["other.nii", LAST], LAST)
    (folder / "linked.nii").symlink_to(folder / "seg.nii")
    with pytest.raises(CaseError, match=r"got linked.nii"):
        check_replaceable("a", folder, ["linked.nii", LAST], LAST)


def test_a_folder_from_before_there_were_notes(place):
    (place / NOTE).unlink()
    os.utime(place / LAST)
    check_replaceable("a", place, ["seg.nii", LAST], LAST)
    later = (place / LAST).stat().st_mtime_ns + 10**9
    os.utime(place / "seg.nii", ns=(later, later))
    with pytest.raises(CaseError, match=r"got seg.nii"):
        check_replaceable("a", place, ["seg.nii", LAST], LAST)


@pytest.mark.parametrize("kill", range(1, 9))
def test_killed_at_any_step_the_next_call_goes_on(place, monkeypatch, kill):
    """Every step is a rename: it is killed before each of them in turn."""
    steps = 0
    replace = type(place).replace

    def counted(path, target):
        nonlocal steps
        steps += 1
        if steps == kill:
            raise KeyboardInterrupt
        return replace(path, target)

    work = _make(working_folder(place), seg_nii="2", plan_json="2", surfaces__kidney_stl="2", page_html="2")
    with monkeypatch.context() as patch:
        patch.setattr(type(place), "replace", counted)
        try:
            put_in_place("a", work, place, LAST)
        except KeyboardInterrupt:
            assert kill <= 2 or "plan.json" not in _texts(place) or kill == 6
    put_in_place("a", work, place, LAST)
    assert set(_texts(place).values()) == {"2"}


def test_a_page_that_someone_changed_is_kept_under_another_name(tmp_path):
    page = tmp_path / "page.html"
    assert set_aside_page(page) is None
    page.write_text(sealed("<p>ü</p>"), encoding="utf-8")
    assert set_aside_page(page) is None
    changed = [sealed("<p>ü</p>").replace("ü", "my note"), "<p>ü</p>", sealed("a") + "b", ""]
    for number, text in enumerate(changed, start=1):
        page.write_text(text, encoding="utf-8")
        assert set_aside_page(page) == tmp_path / f"page.kept-{number}.html"
    assert [(tmp_path / f"page.kept-{n}.html").read_text(encoding="utf-8") for n in (1, 2, 3, 4)] == changed
    page.mkdir()
    assert set_aside_page(page).is_dir()
    page.symlink_to(tmp_path / "page.kept-1.html")
    assert set_aside_page(page).is_symlink()
    assert not page.exists()
