"""Clinical records in a table, as Excel and pandas write them: CSV or XLSX, with a map of its columns."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from kits_core.case_names import cleaned
from kits_core.errors import CaseError, KitsError
from kits_core.source.clinical import COLUMNS, Clinical, ClinicalRecord, record_of
from kits_core.source.records import CASE_KEY, CORRECT, lacking, shown
from kits_core.source.text import decode

CASE_COLUMNS = ("case", CASE_KEY, "case_name")
_XLSX_MAGIC = b"PK\x03\x04"
_MOST_ROWS = 1_000_000
_KEYS = {column: key for column, (key, _) in COLUMNS.items()} | {key: key for key, _ in COLUMNS.values()}
_NO_VALUE = frozenset({"", "nan", "nat", "<na>"})


@dataclass(frozen=True)
class Table:
    """Records of a table. `taken`: the file's column for each of the catalog's; `extra`: what goes into `extra`."""

    clinical: Clinical
    taken: Mapping[str, str]
    extra: tuple[str, ...]


def parse_columns(options: Iterable[str]) -> dict[str, str]:
    """The file's column for each column of the catalog, from `COLUMN=NAME` options such as `Alter=age_years`.

    Raises `KitsError` for a name that the catalog has not, and for one that is given twice.
    """
    found: dict[str, str] = {}
    for option in options:
        theirs, equals, ours = option.rpartition("=")
        key = CASE_KEY if ours.strip() in CASE_COLUMNS else _KEYS.get(ours.strip())
        if not equals or not theirs.strip() or key is None:
            raise KitsError(f"{option!r}: expected COLUMN=NAME, where NAME is case or one of {', '.join(COLUMNS)}")
        if key in found:
            raise KitsError(f"{option!r}: expected each name once, got {ours.strip()} for {found[key]!r} too")
        found[key] = theirs.strip()
    return found


def read_table(path: Path, columns: Mapping[str, str]) -> Table:
    """The records of a CSV or XLSX file, a row a case. `columns`: as `parse_columns` gives them.

    A column with a name of the catalog, or with KiTS23's key for it, needs no map. Other columns go into `extra`; those
    without a name are left out. Of a workbook only the first sheet is read. A row that cannot be used is a problem,
    which names its case. Raises `KitsError` for a file that is no table, has no column of cases, or lacks a column of
    the map.
    """
    header, rows = _xlsx(path) if _starts_as_xlsx(path) else _csv(path)
    names = {name: name for name in header if name}
    for theirs in columns.values():
        if theirs not in names:
            raise KitsError(f"{path}: expected a column {theirs!r}, got {', '.join(names)}; correct the map")
    by_key = dict(columns)
    mapped = set(columns.values())
    for name in names:
        key = CASE_KEY if name.casefold() in CASE_COLUMNS else _KEYS.get(name.casefold())
        if name not in mapped and key is not None:
            by_key.setdefault(key, name)
    if CASE_KEY not in by_key:
        raise KitsError(
            f"{path}: expected a column case, or case_id, got {', '.join(names) or 'none'}; say which one it is, as "
            '--column "Patient=case"'
        )
    keys = {theirs: key for key, theirs in by_key.items()}
    clinical = _read(header, rows, keys)
    ours = {column: by_key[key] for column, (key, _) in COLUMNS.items() if key in by_key}
    return Table(clinical, {"case": by_key[CASE_KEY], **ours}, tuple(name for name in names if name not in keys))


def _read(header: list[str], rows: list[list[Any]], keys: Mapping[str, str]) -> Clinical:
    records: dict[str, ClinicalRecord] = {}
    problems: dict[str, CaseError] = {}
    for number, row in enumerate(rows, start=2):
        entry = {keys.get(name, name): value for name, value in zip(header, row, strict=False) if name}
        case = cleaned(_text(entry.get(CASE_KEY)))
        if not case:
            if any(_text(value) for value in row):
                name = f"row {number}"
                problems[name] = CaseError(name, expected="a case", got="none", next_step=CORRECT)
            continue
        try:
            record, _ = record_of(case, {**_storable(case, entry), CASE_KEY: case})
        except CaseError as error:
            problems[case] = error
            continue
        if records.setdefault(case, record) != record:
            problems[case] = CaseError(case, expected="one row a case", got="two that differ", next_step=CORRECT)
    kept = tuple(record for case, record in records.items() if case not in problems)
    return Clinical(kept, tuple(problems.values()), ())


def _storable(case: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON holds them. Raises `CaseError` for one that no database stores."""
    found: dict[str, Any] = {}
    for key, value in entry.items():
        stored = value.isoformat() if isinstance(value, datetime | date) else value
        if isinstance(stored, str):
            stored = None if stored.strip().casefold() in _NO_VALUE else stored.strip()
        if isinstance(stored, float) and stored != stored:  # noqa: PLR0124 - NaN
            stored = None
        if expected := lacking(stored):
            raise CaseError(case, expected=f"{expected} for {shown(key)}", got=shown(value), next_step=CORRECT)
        found[key] = stored
    return found


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and value != value):  # noqa: PLR0124 - NaN
        return ""
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
    return "" if text.casefold() in _NO_VALUE else text


def _starts_as_xlsx(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == _XLSX_MAGIC
    except OSError as error:
        raise KitsError(f"{path}: expected a table, CSV or XLSX, got {error.strerror}; name a readable file") from error


def _csv(path: Path) -> tuple[list[str], list[list[Any]]]:
    try:
        text = decode(path.read_bytes(), strict=True)
    except ValueError as error:
        raise KitsError(f"{path}: expected a table in UTF-8 or UTF-16, got {error}; save it as CSV UTF-8") from error
    lines = text.splitlines()
    first = lines[0] if lines else ""
    delimiter = max(",;\t", key=first.count)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    return _header(path, rows), [list(row) for row in rows[1:]]


def _xlsx(path: Path) -> tuple[list[str], list[list[Any]]]:
    from zipfile import BadZipFile  # noqa: PLC0415 - with what follows

    from openpyxl import load_workbook  # noqa: PLC0415 - half a second, which CSV need not wait for
    from openpyxl.utils.exceptions import InvalidFileException  # noqa: PLC0415

    try:
        workbook = load_workbook(path, read_only=True, data_only=True)
        sheet = workbook.worksheets[0]
        rows = [list(row) for _, row in zip(range(_MOST_ROWS), sheet.iter_rows(values_only=True), strict=False)]
        workbook.close()
    except (BadZipFile, InvalidFileException, KeyError, ValueError, IndexError, OSError, TypeError) as error:
        raise KitsError(f"{path}: expected a workbook (.xlsx), got {error}; save it again, or as CSV") from error
    while rows and not any(_text(value) for value in rows[0]):
        rows.pop(0)
    return _header(path, rows), rows[1:]


def _header(path: Path, rows: list[list[Any]]) -> list[str]:
    names = [_text(value) for value in rows[0]] if rows else []
    if not any(names):
        raise KitsError(f"{path}: expected a table whose first row names its columns, got none; add the names")
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise KitsError(f"{path}: expected each column once, got {', '.join(repeated)} twice; rename one of them")
    return names
