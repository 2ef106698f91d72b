import pytest

from kits_core.source.sums import read_sums

_HASH = "ab" * 32
_OTHER = "cd" * 32
_PATH = "case_00000/imaging.nii.gz"


def test_names_never_leave_the_layout():
    hostile = [
        "../../etc/passwd",
        "/etc/passwd",
        "case_00000/../x",
        "case_00000/imaging.nii.gz/../../x",
        "case_0/imaging.nii.gz",
        "/case_00000/imaging.nii.gz",
        "../case_00000/imaging.nii.gz",
        "case_" + 5 * "\u0660" + "/imaging.nii.gz",
    ]
    text = "".join(f"{_HASH}  {name}\n" for name in [*hostile, _PATH, f"./{_PATH}"]) + "nonsense\n\n"
    sums = read_sums(text, "SHA256SUMS")
    assert sums.by_path == {_PATH: _HASH}
    (note,) = sums.notes
    assert note.startswith(
        "SHA256SUMS: 5 lines are no checksum of a file of the layout, and not used: the first is line 5"
    )


@pytest.mark.parametrize(
    "line",
    [
        f"{_HASH}  {_PATH}",
        f"{_HASH} *{_PATH}\r",
        f"{_HASH.upper()}\t./{_PATH}",
        f"\ufeff{_HASH}  {_PATH}",
        f"{_HASH}  case_00000\\imaging.nii.gz",
        f"\\{_HASH} *case_00000\\\\imaging.nii.gz",
        f"SHA256 ({_PATH}) = {_HASH}",
        f"SHA256({_PATH})= {_HASH}",
        f"SHA2-256(.\\case_00000\\imaging.nii.gz)= {_HASH.upper()}",
    ],
)
def test_every_tool_s_line_is_read(line):
    sums = read_sums(f"# made by hand\n; so is this\n\n{line}\n{_OTHER}  README.md\n", "SHA256SUMS")
    assert sums.by_path == {_PATH: _HASH}
    assert sums.images == ("case_00000",)
    assert sums.notes == ()


@pytest.mark.parametrize("prefix", ["", "dataset/", "data/", "data/dataset/"])
def test_where_the_cases_lie_below_the_list_is_seen(prefix):
    sums = read_sums(f"{_HASH}  {prefix}{_PATH}\n{_OTHER}  {prefix}kits23.json\n", "manifest-sha256.txt")
    assert (sums.prefix, sums.by_path) == (prefix, {_PATH: _HASH, "kits23.json": _OTHER})


def test_two_hashes_of_one_file_are_said():
    sums = read_sums(f"{_HASH}  {_PATH}\n{_HASH}  {_PATH}\n{_OTHER}  {_PATH}\n", "SHA256SUMS")
    assert sums.by_path == {_PATH: _HASH}
    assert sums.notes == (f"SHA256SUMS: different hashes for {_PATH} (1 files); the first of each counts",)


def test_hashes_of_another_length_are_no_checksums():
    assert read_sums(f"{_HASH * 2}  {_PATH}\n", "SHA256SUMS").by_path == {}
    assert read_sums(f"{_HASH}  {_PATH}\n", "manifest-sha512.txt").by_path == {}
    assert read_sums(f"{_HASH * 2}  {_PATH}\n", "manifest-sha512.txt").by_path == {_PATH: _HASH * 2}
