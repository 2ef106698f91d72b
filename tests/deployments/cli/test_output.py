import io

import pytest
from rich.progress import Progress

from deployments.cli.output import SafeConsole
from deployments.cli.table import facts_layout, layout

STEERING = {
    "title": "\x1b]0;pwned\x07",
    "clear": "\x1b[2J\x1b[H",
    "clipboard": "\x1b]52;c;cHduZWQ=\x07",
    "one byte": "\x9b2J",
    "back": "safe\x08\x08\x08\x08",
    "line": "safe\revil",
    "bidi": "scan\u202egz.iin",
    "null": "\x00",
}


def _console(*, terminal):
    return SafeConsole(
        file=io.StringIO(), force_terminal=terminal, width=80, color_system="truecolor" if terminal else None
    )


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("name", STEERING)
def test_no_text_steers_the_terminal(terminal, name):
    text = STEERING[name]
    console = _console(terminal=terminal)
    console.print(f"case {text} end", highlight=False, markup=False)
    console.print(layout([{"case": text, "dice": 0.5}], f"title {text}", 80))
    shown = console.file.getvalue()
    assert text not in shown
    assert "case" in shown
    assert "end" in shown
    assert "\ufffd" in shown or name in {"back", "line"}  # which Rich leaves out


def test_no_letter_is_lost_beside_a_mark():
    console = _console(terminal=False)
    console.print(facts_layout({"patient": "Doe, Jane \x1b[2J"}, 80))
    console.print(layout([{"patient": "Doe, Jim \x9b2J", "dice": 0.5}], None, 80))
    assert "Doe, Jane \ufffd[2J" in console.file.getvalue()
    assert "Doe, Jim \ufffd2J" in console.file.getvalue()


def test_styles_and_lines_of_our_own_stay():
    console = _console(terminal=True)
    console.print("[bold]loud[/] and\ttab\nnext line")
    assert "\x1b[1mloud\x1b[0m" in console.file.getvalue()
    assert "next line" in console.file.getvalue()
    with Progress(console=console) as bars:
        bars.update(bars.add_task("train", total=2), completed=2)
    assert "100%" in console.file.getvalue()
    assert "\x1b[" in console.file.getvalue()
