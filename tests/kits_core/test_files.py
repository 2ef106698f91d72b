import grp
import hashlib
import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from kits_core.files import keep_private, sha256_of, write_text_atomically, written_aside


def test_a_failed_write_leaves_the_old_file_and_no_aside(tmp_path):
    path = tmp_path / "a.txt"
    write_text_atomically(path, "old")
    with pytest.raises(RuntimeError), written_aside(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_final_name_appears_only_when_the_block_ends(tmp_path):
    path = tmp_path / "deep" / "a.nii"
    with written_aside(path, suffix=".nii") as aside:
        aside.write_bytes(b"x")
        assert aside.suffix == ".nii"
        assert not path.exists()
    assert path.read_bytes() == b"x"


def test_sha256_of_a_file_longer_than_one_piece(tmp_path):
    content = bytes(range(256)) * 9000
    (tmp_path / "f").write_bytes(content)
    assert sha256_of(tmp_path / "f") == hashlib.sha256(content).hexdigest()


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_is_made_for_its_owner_alone(tmp_path):
    home = tmp_path / "a" / "home"
    assert keep_private(home) is None
    assert _mode(home) == 0o700
    assert keep_private(home) is None


@pytest.mark.parametrize("open_mode", [0o755, 0o750, 0o701, 0o777])
def test_a_folder_that_was_open_is_closed_and_its_mode_told(tmp_path, open_mode):
    (tmp_path / "mine.txt").write_text("stays")
    tmp_path.chmod(open_mode)
    assert keep_private(tmp_path) == open_mode
    assert (_mode(tmp_path), (tmp_path / "mine.txt").read_text()) == (0o700, "stays")


def test_a_group_may_share_it(tmp_path):
    group = grp.getgrgid(os.getgid()).gr_name
    home = tmp_path / "home"
    assert keep_private(home, group) is None
    assert _mode(home) == 0o2770
    home.chmod(0o2777)
    assert keep_private(home, group) == 0o2777
    assert _mode(home) == 0o2770
    with pytest.raises(LookupError):
        keep_private(home, "no such group")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_another_user_sees_nothing_in_it():
    def as_nobody(*words):
        return subprocess.run(["runuser", "-u", "nobody", "--", *words], capture_output=True, text=True, check=False)

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "open.txt").write_text("seen")
        home = place / "home"
        keep_private(home)
        (home / "catalog.db").write_text("names")
        assert as_nobody("cat", str(place / "open.txt")).stdout == "seen"
        for words in (("ls", str(home)), ("cat", str(home / "catalog.db"))):
            assert "Permission denied" in as_nobody(*words).stderr
