import pytest
from hypothesis import given
from hypothesis import strategies as st

from kits_core.case_names import case_of_folder, check_name, cleaned, folder_name
from kits_core.errors import CaseError


@given(st.text(min_size=1))
def test_a_folder_name_can_be_read_back_and_is_one_part_of_a_path(name):
    folder = folder_name(name)
    assert case_of_folder(folder) == name or any("\ud800" <= letter <= "\udfff" for letter in name)
    assert not set(folder) & set('/\\:*?"<>|\0')
    assert folder[0] not in " ." and folder[-1] not in " ."


def test_plain_names_of_any_script_stay_as_they_are():
    for name in ("case_00042", "张三", "Müller, 1", "a.b-c d"):
        assert folder_name(name).replace("%2C", ",") == name
    assert folder_name("a/b") == "a%2Fb"
    assert folder_name("..") == "%2E%2E"
    assert folder_name("a%2Fb") == "a%252Fb"


def test_two_ways_to_write_an_accent_are_one_name():
    assert cleaned("Mu\u0308ller ") == cleaned("M\u00fcller") == "M\u00fcller"


@pytest.mark.parametrize("name", ["", "a\nb", "a\x1b[2J", "\udcff", "a\0"])
def test_what_cannot_be_shown_is_refused(name):
    with pytest.raises(CaseError, match=r"printable letters.*rename the case") as caught:
        check_name(name)
    assert str(caught.value).isprintable()


def test_a_name_that_no_file_system_takes_is_refused():
    assert check_name("x" * 200)
    with pytest.raises(CaseError, match="at most 200 bytes"):
        check_name("x" * 201)
    with pytest.raises(CaseError, match="at most 200 bytes"):
        check_name("张" * 67)
