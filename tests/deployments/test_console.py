from io import StringIO

from rich.console import Console

from deployments.console import ConsoleProgress


def test_without_a_terminal_the_first_and_the_last_step_are_told_and_not_every_one_between():
    output = StringIO()
    with ConsoleProgress(Console(file=output, width=200)) as progress:
        for done in range(101):
            progress.update("train", done, 100, f"loss {done}")
    lines = output.getvalue().splitlines()
    assert lines[0].split()[:2] == ["train", "0/100"]
    assert lines[-1].split() == ["train", "100/100", "loss", "100"]
    assert len(lines) < 5


def test_on_a_terminal_every_stage_has_a_bar():
    output = StringIO()
    with ConsoleProgress(Console(file=output, width=120, force_terminal=True)) as progress:
        progress.update("ingest", 3, 8, "case_00003")
        progress.update("train", 1, 2, "")
    assert "ingest" in output.getvalue()
    assert "3/8" in output.getvalue()
    assert "train" in output.getvalue()
