"""What verbs print: results on standard output, everything else on standard error."""

import json
import os
import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

out = Console()
err = Console(stderr=True)


def show_result(result: Any, *, as_json: bool, text: str) -> None:
    """A flow's result: as one JSON object, or as a sentence for people."""
    if as_json:
        print_json(asdict(result) if is_dataclass(result) and not isinstance(result, type) else result)
    else:
        out.print(text, highlight=False)


def print_json(value: Any) -> None:
    """One JSON value on standard output, plain."""
    out.print(json.dumps(value, default=str, ensure_ascii=False), soft_wrap=True, highlight=False, markup=False)


def show_table(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Rows with the same keys as a table; numbers to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD)
    for name in rows[0] if rows else []:
        table.add_column(
            name.replace("_", " "), overflow="fold", justify="left" if _is_text(rows[0][name]) else "right"
        )
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    out.print(table)


def show_scores(scores: Sequence[Mapping[str, str]], title: str) -> None:
    """The columns of an evaluation's scores that fit a terminal; the report has them all."""
    shown = ("region", "cases", "Dice", "95 % interval", "ceiling", "surface Dice", "HD95, mm")
    show_table([{name: row[name] for name in shown if name in row} for row in scores], title)


def command(name: str) -> str:
    """How to call a program of this environment from here: its name if the shell finds that one, else its path."""
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
            err.print(
                f"[red]error:[/] {where}: {problem['msg']}, got {problem['input']!r}", highlight=False, soft_wrap=True
            )
        return 2
    if isinstance(error, KitsError):
        err.print("[red]error:[/]", str(error), highlight=False, soft_wrap=True)
        return 1
    err.print("".join(traceback.format_exception(error)), highlight=False, markup=False)
    return 1


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not value.replace(".", "", 1).isdecimal()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
