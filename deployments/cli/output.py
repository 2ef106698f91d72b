"""What verbs print: results on standard output, everything else on standard error."""

import json
import os
import shutil
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment

from deployments.cli.table import facts_layout, layout
from kits_core.text import visible


class SafeConsole(Console):
    """A terminal that outside text cannot control: names, tags and messages are only shown."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Rich's output, with U+FFFD in place of each character that would control the terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


out = SafeConsole()
err = SafeConsole(stderr=True)


def show_result(result: Any, *, as_json: bool, text: str) -> None:
    """A flow's result: as one JSON object, or as a sentence for people."""
    if as_json:
        print_json(asdict(result) if is_dataclass(result) and not isinstance(result, type) else result)
    else:
        out.print(text, highlight=False)


def print_json(value: Any) -> None:
    """One JSON value on standard output, plain."""
    text = json.dumps(value, default=lambda x: float(x) if isinstance(x, Decimal) else str(x), ensure_ascii=False)
    out.print(text, soft_wrap=True, highlight=False, markup=False)


def show_table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Rows with the same keys as a table, numbers to the right; in blocks where the terminal is too narrow for it."""
    if rows:
        out.print(layout(rows, title, out.width), crop=False)


def show_facts(facts: Mapping[str, str]) -> None:
    """The facts about one thing, a name and a value a line."""
    if facts:
        out.print(facts_layout(facts, out.width), crop=False)


def show_scores(scores: Sequence[Mapping[str, str]], title: str) -> None:
    """The columns of an evaluation's scores that fit a terminal; the report has them all."""
    shown = {name: name for name in ("region", "cases", "Dice", "95 % interval", "ceiling", "surface Dice", "HD95, mm")}
    lacking = any(row["cases without a distance"] != "0" for row in scores)
    if lacking:
        shown |= {"cases without a distance": "without", "HD95 with these as the diagonal, mm": "HD95, diagonal"}
    show_table([{short: row[name] for name, short in shown.items() if name in row} for row in scores], title)
    if lacking:
        out.print(
            "without: cases without a distance, as one mask is empty; HD95, diagonal: with each of them as the "
            "diagonal of its image, mm",
            style="dim",
            highlight=False,
        )


def say(text: str) -> None:
    """A line on standard output, as it is: names and messages may hold brackets that Rich would take for styles."""
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def complain(what: str, text: str) -> None:
    """A line on standard error, its first word in red, the rest as it is."""
    err.print(f"[red]{what}:[/] {escape(text)}", highlight=False, soft_wrap=True)


def command(name: str) -> str:
    """How to call a program of this environment: its name if the shell finds it, else its path."""
    program = Path(sys.executable).with_name(name)
    if (found := shutil.which(name)) and Path(found).resolve() == program.resolve():
        return name
    return os.path.relpath(program) if program.is_relative_to(Path.cwd()) else str(program)


def show_error(error: Exception) -> int:
    """Says what went wrong; returns the exit status."""
    from pydantic import ValidationError

    from kits_core.errors import KitsError

    if isinstance(error, ValidationError):
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"]) or error.title
            complain("error", f"{where}: {problem['msg']}, got {problem['input']!r}")
        return 2
    if isinstance(error, KitsError):
        complain("error", str(error))
        return 1
    err.print("".join(traceback.format_exception(error)), highlight=False, markup=False)
    return 1
