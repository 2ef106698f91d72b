from flows.artifacts import picture, table


def test_a_table_with_bars_and_line_breaks_in_it():
    text = table([{"case": "a|b", "reason": "one\ntwo"}])
    assert text.splitlines() == ["| case | reason |", "|---|---|", "| a\\|b | one two |"]


def test_no_rows():
    assert table([]) == "–"


def test_a_picture_carries_its_bytes():
    assert picture("x", b"png") == "![x](data:image/png;base64,cG5n)"
