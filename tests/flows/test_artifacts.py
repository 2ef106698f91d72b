from flows.artifacts import link, overview, picture, table


def test_a_table_with_bars_and_line_breaks_in_it():
    text = table([{"case": "a|b", "reason": "one\ntwo"}])
    assert text.splitlines() == ["| case | reason |", "|---|---|", "| a\\|b | one two |"]


def test_no_rows():
    assert table([]) == "–"


def test_a_picture_carries_its_bytes():
    assert picture("x", b"png") == "![x](data:image/png;base64,cG5n)"


def test_a_link_opens_what_the_server_shows_and_is_none_elsewhere(home, tmp_path):
    here = link(home / "predictions" / "scans" / "a|b" / "plan.html", "a|b")
    assert here == r"[a\|b](/kits/open/predictions/scans/a%7Cb/plan.html)"
    assert table([{"plan": here}]).splitlines()[2] == f"| {here} |"
    assert link(tmp_path / "out" / "plan.html", "a|b") == r"a\|b"


def test_an_overview_is_a_line_each():
    assert overview({"cases": 3, "by|in": "a*b\nc"}) == "- cases: **3**\n- by\\|in: **a\\*b c**"
