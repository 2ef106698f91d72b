"""Files that a user names for one answer must be new. An existing file is never replaced."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kits_core.errors import KitsError
from kits_core.files import written_aside
from kits_core.text import csv_cell

_DEVICES = (Path("/dev"), Path("/dev/fd"))


def check_new_file(path: Path | None) -> None:
    """Raise `KitsError` for a file that exists already, or has no folder, before the work begins.

    None, a pipe and a device such as `/dev/stdout` are fine.
    """
    if path is None or _is_stream(path):
        return
    if not path.absolute().parent.is_dir():
        raise KitsError(f"{path}: expected a folder to write to, got none at {path.absolute().parent}; make it first")
    if path.is_symlink() or path.exists():
        got = "a folder" if path.is_dir() else f"one of {path.lstat().st_size} bytes"
        raise KitsError(
            f"{path}: expected no file there yet, got {got}, which is never replaced; name another file, or remove it"
        )


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV in UTF-8, whole or not at all. No text in it can be read as a formula by a spreadsheet.

    Raises `KitsError` as `check_new_file`.
    """
    if _is_stream(path):
        _write(path, columns, rows)
        return
    check_new_file(path)
    with written_aside(path) as aside:
        _write(aside, columns, rows)


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([csv_cell(name) for name in columns])
        writer.writerows([csv_cell(value) for value in row] for row in rows)


def _is_stream(path: Path) -> bool:
    return path.parent in _DEVICES or (path.exists() and not (path.is_file() or path.is_dir()))
