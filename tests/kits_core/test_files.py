import hashlib

import pytest

from kits_core.files import sha256_of, write_text_atomically, written_aside


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
