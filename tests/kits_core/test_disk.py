import errno
from pathlib import Path

import pytest

from kits_core import disk
from kits_core.disk import RESERVE_BYTES, FullDiskError, check_room, free_bytes, naming_a_full_disk, readable


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (2_400_000, "2.4 MB"), (12_000_000, "12 MB"),
        (3.4e9, "3.4 GB"), (16_007e9, "16,007 GB"), (-5e6, "-5.0 MB"),
    ],
)  # fmt: skip
def test_sizes_as_people_write_them(size, text):
    assert readable(size) == text


def test_room_is_asked_for_beside_a_reserve(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda _: RESERVE_BYTES + 1000)
    check_room(tmp_path, 1000, "a file")
    with pytest.raises(FullDiskError, match=r"room for a file \(1\.0 kB\) beside 200 MB .* got 200 MB free; make room"):
        check_room(tmp_path, 1001, "a file")


def test_a_folder_that_is_not_there_yet_is_asked_of_the_one_that_is(tmp_path):
    assert free_bytes(tmp_path / "a" / "b") > 0


def test_a_full_disk_is_named_and_other_errors_are_left():
    told = r"/data/x: expected room for its files, got: No space left on device, with .* free; make room there"
    with pytest.raises(FullDiskError, match=told), naming_a_full_disk(Path("/tmp"), "its files"):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/x")
    with pytest.raises(PermissionError), naming_a_full_disk(Path("/tmp"), "its files"):
        raise PermissionError(errno.EACCES, "no")
