"""Pseudonyms: the same for the same original, no other home's, and told back with the key alone."""

import multiprocessing
import re
import stat

import pytest

from kits_core.errors import KitsError
from kits_core.pseudonyms import KEY, Original, Pseudonyms, is_pseudonym


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "pseudonyms"


def test_the_same_original_has_the_same_pseudonym_in_one_home_alone(folder, tmp_path):
    one = Pseudonyms(folder)
    name = one.of("patient", "4711", patient="Doe")
    assert re.fullmatch(r"P-[0-9A-Z]{8}", name)
    assert is_pseudonym(name)
    assert Pseudonyms(folder).of("patient", "4711") == name
    assert one.of("patient", "4712") != name
    assert one.of("scan", "4711") != name
    assert one.of("patient", "47", "11") != one.of("patient", "471", "1")
    assert Pseudonyms(tmp_path / "other").of("patient", "4711") != name


def test_it_is_told_back_and_nothing_of_it_lies_there_in_plain(folder):
    name = Pseudonyms(folder).of("patient", "4711", patient="Doe, Jane", birth="")
    assert Pseudonyms(folder).original(name) == Original("patient", {"patient": "Doe, Jane"})
    assert Pseudonyms(folder).original("P-00000000") is None
    assert Pseudonyms(folder).original("../key") is None
    for file in folder.iterdir():
        assert b"Doe" not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {file.name for file in folder.iterdir()} == {KEY, name}


def test_uids_are_other_uids_and_always_the_same(folder):
    one = Pseudonyms(folder)
    assert one.uid("1.2.3") == Pseudonyms(folder).uid("1.2.3")
    assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]*)", one.uid("1.2.3"))
    assert len(one.uid("1.2.3")) <= 64
    assert one.uid("1.2.4") != one.uid("1.2.3")
    assert one.digest("a") != one.digest("b")


def test_a_key_that_is_lost_makes_all_irreversible_and_another_one_opens_nothing(folder):
    name = Pseudonyms(folder).of("patient", "4711")
    (folder / KEY).unlink()
    assert Pseudonyms(folder).of("patient", "4711") != name
    with pytest.raises(KitsError, match="expected an entry that the key beside it opens"):
        Pseudonyms(folder).original(name)
    (folder / KEY).write_text("no key")
    with pytest.raises(KitsError, match="expected the key of this home's pseudonyms, got: another text"):
        Pseudonyms(folder)


def test_two_originals_never_share_a_pseudonym(folder, monkeypatch):
    monkeypatch.setattr("kits_core.pseudonyms._LENGTHS", (1, 2, 8))
    monkeypatch.setattr("kits_core.pseudonyms.is_pseudonym", lambda _text: True)
    one = Pseudonyms(folder)
    names = {str(n): one.of("patient", str(n), n=str(n)) for n in range(60)}
    assert len(set(names.values())) == 60
    assert {len(name) for name in names.values()} >= {3, 4}
    for n, name in names.items():
        assert one.of("patient", n) == name
        assert one.original(name).facts["n"] == n


def _name(folder):
    return Pseudonyms(folder).of("patient", "4711")


def test_processes_that_start_together_make_one_key(folder):
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert len(set(pool.map(_name, [folder] * 3))) == 1
    assert len(list(folder.iterdir())) == 2
