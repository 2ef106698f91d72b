"""What strangers write: seen, not obeyed, wherever it is shown."""

import pytest

from kits_core.errors import CaseError, KitsError, why
from kits_core.text import csv_cell, markdown, one_line, visible


@pytest.mark.parametrize(
    "text", ["\x1b]0;x\x07", "\x1b[2J", "\x1b]52;c;eA==\x07", "\x9b2J", "a\x08", "a\rb", "a\u202eb", "a\u200fb", "\x00"]
)
def test_what_steers_is_seen_as_a_mark(text):
    assert "\ufffd" in visible(text)
    assert all(letter.isprintable() or letter == " " for letter in one_line(text))


def test_what_steers_nothing_stays():
    text = "Müller\t山田\n100 % of ½ · “quoted”"
    assert visible(text) == text
    assert one_line("one \n  two\r\nthree\u2028four\n") == "one two three four"


def test_an_error_is_one_visible_line_whatever_it_quotes():
    assert str(KitsError("a\nb\x1b[2Jc")) == "a b\ufffd[2Jc"
    error = CaseError("case\x07", expected="a\nb", got="\u202e", next_step="c")
    assert str(error) == "case\ufffd: expected a b, got \ufffd; c"
    assert "\x1b" not in why("case", ValueError("\x1b[2J\n"))


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("case_00001", "case_00001"),
        ("_a_ *b* `c`", r"\_a\_ \*b\* \`c\`"),
        ("![x](http://h/p.png)", r"!\[x\](http\://h/p.png)"),
        ("<script>alert(1)</script> &lt;", r"\<script\>alert(1)\</script\> \&lt;"),
        ("a|b\n| c", r"a\|b \| c"),
        ("# head", r"\# head"),
        ("- item", r"\- item"),
        ("---", r"\---"),
        ("1. item", r"1\. item"),
        ("1) item", r"1\) item"),
        ("1.5 mm", "1.5 mm"),
        ("-0.951", "-0.951"),
        ("www.h.org, a@h.org", r"www\.h.org, a\@h.org"),
        ("~~a~~", r"\~\~a\~\~"),
        ("\\", "\\\\"),
        (3, "3"),
    ],
)
def test_markdown_means_nothing(text, safe):
    assert markdown(text) == safe


@pytest.mark.parametrize(
    "text", ['=HYPERLINK("http://h")', "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "-", "\uff1d1"]
)
def test_no_cell_is_a_formula(text):
    assert csv_cell(text) == "'" + visible(text)


@pytest.mark.parametrize("value", ["-1.5", "+2", "-1e-05", "-inf", "case_00001", "", "a=b", None, -1.5, 3, True])
def test_numbers_and_plain_texts_stay(value):
    assert csv_cell(value) is value or csv_cell(value) == value
