import pytest
from hypothesis import given
from hypothesis import strategies as st

from kits_core.errors import KitsError
from kits_core.source.selection import case_name, check_cases, choose

_ALL = tuple(map(case_name, range(700)))


def test_ids_ranges_and_names():
    assert choose(_ALL, "0-2,400") == ("case_00000", "case_00001", "case_00002", "case_00400")
    assert choose(_ALL, " 7 , case_00003 ,5 - 5") == ("case_00003", "case_00005", "case_00007")


@given(st.sets(st.integers(0, 699), min_size=1, max_size=30))
def test_any_list_of_ids_comes_back_sorted(ids):
    assert choose(_ALL, ",".join(map(str, ids))) == tuple(case_name(i) for i in sorted(ids))


@given(st.integers(0, 500), st.integers(0, 60), st.integers(0, 500), st.integers(0, 60))
def test_ranges_are_unions(a, n, b, m):
    expected = sorted({*range(a, a + n + 1), *range(b, b + m + 1)})
    assert choose(_ALL, f"{a}-{a + n},{b}-{b + m}") == tuple(map(case_name, expected))


@pytest.mark.parametrize("text", ["", ",", "1,", "9-3"])
def test_typing_errors_are_quoted(text):
    with pytest.raises(KitsError, match=r"0-9,400"):
        check_cases(text)


@pytest.mark.parametrize("text", ["3-", "-3", "1-2-3", "123456", "1;2", "1.5", "case_x", "٣a"])
def test_what_names_no_case_is_refused(text):
    with pytest.raises(KitsError, match=r"the source has no case .*0-9,400"):
        choose(_ALL, text)


def test_names_of_any_kind_and_patterns():
    have = ["张三", "site1 a,b", "site1_7", "site2_7", "0-9", "7"]
    assert choose(have, "张三,site1_*") == ("site1_7", "张三")
    assert choose(have, "site1 a,b") == ("site1 a,b",)
    assert choose(have, "7,0-9") == ("0-9", "7")
    assert choose(have, "*_7") == ("site1_7", "site2_7")


def test_choosing_from_what_there_is():
    have = ["case_00400", "case_00299", "case_00000"]
    assert choose(have, None) == ("case_00000", "case_00299", "case_00400")
    assert choose(have, "290-410") == ("case_00299", "case_00400")
    with pytest.raises(KitsError, match="no case 5 "):
        choose(have, "0,5")
    with pytest.raises(KitsError, match="no case 300-310"):
        choose(have, "300-310")
    with pytest.raises(KitsError, match="from 0 to 99999"):
        case_name(-1)
