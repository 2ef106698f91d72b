import json

import numpy as np
import pytest

from kits_core.corrections import DrawnScan, Note, Overlay, corrected_cases, once_corrected_cases
from kits_core.files import sha256_of
from kits_core.geometry import Volume, read_volume

ODD = "site/1 .b"
"""A name that no file may have as it is."""


def _labels(value):
    data = np.zeros((4, 5, 6), np.uint8)
    data[1:3, 2, 2] = value
    return Volume(data, np.diag([1.0, 2.0, 3.0, 1.0]))


def _note(by="Dr X", **others):
    return Note(by=by, at="2026-03-01T10:20:30+00:00", file="/drawn.nii.gz", file_sha256="ab" * 32, **others)


@pytest.fixture
def overlay(tmp_path):
    return Overlay(tmp_path / "corrections" / "hospital", ODD)


def test_a_mask_and_its_note_come_back(overlay):
    scan = DrawnScan("/ct.nii.gz", None, "cd" * 32)
    note = _note(scan=scan, notes=("odd",), read_as={"1": "kidney"}, after="prediction 3 by model 1")
    overlay.write(_labels(2), note)
    assert overlay.read_note() == note
    read = read_volume(overlay.mask)
    assert read.data.dtype == np.uint8
    assert np.array_equal(read.data, _labels(2).data)
    location = overlay.location()
    assert (location.address, location.sha256) == (str(overlay.mask), sha256_of(overlay.mask))
    told, how = location.notes
    assert told.startswith("reference corrected by Dr X on 2026-03-01, from /drawn.nii.gz (SHA-256 abababababab...)")
    assert told.endswith(", after prediction 3 by model 1")
    assert how == "odd"
    assert len(list(overlay.folder.iterdir())) == 2


def test_the_former_mask_is_kept_once_and_so_is_one_that_is_taken_away(overlay):
    overlay.write(_labels(1), _note("one"))
    first = sha256_of(overlay.mask)
    overlay.write(_labels(2), _note("two"))
    second = sha256_of(overlay.mask)
    assert corrected_cases(overlay.folder) == once_corrected_cases(overlay.folder) == {"site%2F1 .b"}
    kept = overlay.set_aside()
    assert sha256_of(kept) == second
    assert overlay.hashes() == {first, second}
    assert not overlay.is_there()
    assert [note.by for note in overlay.notes()] == ["one", "two"]
    assert (corrected_cases(overlay.folder), once_corrected_cases(overlay.folder)) == (set(), {"site%2F1 .b"})
    overlay.write(_labels(2), _note("two"))
    assert overlay.set_aside() == kept
    with pytest.raises(FileNotFoundError):
        overlay.set_aside()


def test_a_note_of_another_mask_is_none(overlay):
    overlay.write(_labels(1), _note())
    note = next(path for path in overlay.folder.iterdir() if path.suffix == ".json")
    stored = json.loads(note.read_text())
    note.write_text(json.dumps(stored | {"sha256": "0" * 64}))
    assert overlay.read_note() is None
    assert overlay.location().notes == ("reference corrected, and nobody noted by whom",)
    note.write_text("torn")
    assert overlay.read_note() is None
    assert list(overlay.notes()) == []


@pytest.mark.parametrize("dies", ["write_volume", "write_text_atomically", "sync_folder"])
def test_killed_while_it_is_written_it_is_the_old_one_or_the_new_one(overlay, monkeypatch, dies):
    overlay.write(_labels(1), _note("one"))

    def die(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(f"kits_core.corrections.{dies}", die)
        overlay.write(_labels(2), _note("two"))
    assert overlay.read_note() == _note("one")
    overlay.write(_labels(2), _note("two"))
    assert overlay.read_note() == _note("two")
    assert sorted(path.name for path in overlay.folder.iterdir()) == ["kept", "site%2F1 .b.json", "site%2F1 .b.nii.gz"]


def test_all_of_a_case_and_nothing_of_others_is_its_own(overlay):
    other = Overlay(overlay.folder, "site/1")
    for one in (overlay, other):
        one.write(_labels(1), _note())
        one.write(_labels(2), _note())
    (overlay.folder / f".{overlay.mask.name}.77.partial.nii.gz").write_bytes(b"cut")
    found = overlay.files()
    assert len(found) == 4
    assert not set(found) & set(other.files())
    assert {path.name for path in other.files()} == {"site%2F1", "site%2F1.nii.gz", "site%2F1.json"}
