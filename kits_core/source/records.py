"""Clinical records as JSON: which case each is of, and whether a catalog can hold it. A bad record affects no other."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kits_core.errors import CaseError, KitsError, check_case_name

CASE_KEY = "case_id"
CORRECT = "correct the record at its source, then ingest again"

_MOST_LEVELS = 50
_LONGEST_DIGITS = 40
_INT64 = 2**63
_SHOWN = 60
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
_NAMED = re.compile(rf'"{CASE_KEY}"\s*:\s*"(case_[0-9]{{5}})"')


@dataclass(frozen=True)
class RawRecords:
    """Records by case, in the order of the file, values as they stand there; and the records that cannot be used."""

    entries: Mapping[str, dict[str, Any]]
    problems: tuple[CaseError, ...]


@dataclass(frozen=True)
class _TooDeep:
    """Stands for a record that is nested too deeply for the JSON reader. `case`: the name that it states."""

    case: str | None


def parse_records(text: str, place: str) -> RawRecords:
    """The records of a `kits23.json`: a list of objects, as the official file, or what pandas' `to_json` writes.

    Of pandas, each `orient` that keeps the names (records, also as lines; columns, index, split, table) is read. NaN is
    null. A record without an official case name, a second one of a case that differs from the first (neither is taken
    then), numbers that are not finite or beyond 64 bits, text with NUL or half a surrogate pair, and more than 50
    levels are problems of that record, which name its case, or its number in the file. Raises `KitsError`, beginning
    with `place`, for text that is no JSON or holds no such records.
    """
    rows = _rows(_load(text, place))
    if rows is None:
        raise KitsError(f"{place}: expected a list of records with {CASE_KEY}; fetch the file again, or correct it")
    entries: dict[str, dict[str, Any]] = {}
    problems: dict[str, CaseError] = {}
    for number, row in enumerate(rows, start=1):
        try:
            case = _case_of(row, number)
            entry = _checked(case, row)
        except CaseError as error:
            problems.setdefault(error.case, error)
            continue
        if entries.setdefault(case, entry) != entry:
            problems[case] = CaseError(
                case, expected="one record a case", got="two that differ", next_step="remove one at the source"
            )
    return RawRecords(
        {case: entry for case, entry in entries.items() if case not in problems}, tuple(problems.values())
    )


def _load(text: str, place: str) -> Any:
    try:
        return _loads(text)
    except RecursionError:
        return [_deep(element, place) for element in _elements(text)]
    except ValueError as error:
        try:
            return [_loads(line) for line in text.splitlines() if line.strip()]  # JSON lines
        except (ValueError, RecursionError):
            raise KitsError(
                f"{place}: expected clinical records in JSON; got {error}; fetch the file again, or correct it"
            ) from error


def _loads(text: str) -> Any:
    return json.loads(text, parse_int=_whole, parse_constant=lambda name: None if name == "NaN" else float(name))


def _whole(digits: str) -> int | float:
    """Python refuses to read thousands of digits, and with them the whole file."""
    return int(digits) if len(digits) <= _LONGEST_DIGITS else math.inf


def _deep(element: str, place: str) -> Any:
    try:
        return _loads(element)
    except RecursionError:
        named = _NAMED.search(element)
        return _TooDeep(named[1] if named else None)
    except ValueError as error:
        raise KitsError(
            f"{place}: expected clinical records in JSON; got {error}; fetch the file again, or correct it"
        ) from error


def _elements(text: str) -> Iterator[str]:
    """The texts of the elements of a JSON list, however deep they are."""
    depth = start = 0
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark in ("[", "{"):
            depth += 1
            start = token.end() if depth == 1 else start
        elif mark in ("]", "}"):
            depth -= 1
        if depth == 0 or (depth == 1 and mark == ","):
            yield text[start : token.start()]
            start = token.end()
            if depth == 0:
                return


def _rows(raw: Any) -> list[Any] | None:
    """The records, whichever way they are laid out; None where they cannot be told."""
    if isinstance(raw, dict):
        columns, data = raw.get("columns"), raw.get("data")
        if isinstance(data, list):  # orient="split", and "table"
            return _split_rows(columns, raw.get("index"), data) if isinstance(columns, list) else _rows(data)
        return _table_rows(raw) if raw and all(isinstance(part, dict) for part in raw.values()) else None
    if not isinstance(raw, list):
        return None
    named = any(isinstance(row, _TooDeep) or (isinstance(row, dict) and CASE_KEY in row) for row in raw)
    return raw if named else None


def _table_rows(table: dict[str, dict[str, Any]]) -> list[Any] | None:
    """Of rows by case, of columns by row, or of columns by case (orient="index" and "columns")."""
    if all(map(_is_case, table)):
        return [{CASE_KEY: name, **row} for name, row in table.items()]
    if all(CASE_KEY in row for row in table.values()):
        return list(table.values())
    rows = table.get(CASE_KEY)
    names = dict.fromkeys(name for column in table.values() for name in column) if rows is None else rows
    if rows is None and not (names and all(map(_is_case, names))):
        return None
    return [{CASE_KEY: name, **{key: column.get(name) for key, column in table.items()}} for name in names]


def _split_rows(columns: list[Any], index: Any, data: list[Any]) -> list[Any] | None:
    if not all(isinstance(row, list) and len(row) == len(columns) for row in data):
        return None
    rows = [dict(zip(map(str, columns), row, strict=True)) for row in data]
    if isinstance(index, list) and len(index) == len(rows) and CASE_KEY not in columns:
        rows = [{CASE_KEY: name, **row} for name, row in zip(index, rows, strict=True)]
    return _rows(rows)


def _is_case(name: str) -> bool:
    try:
        check_case_name(name)
    except CaseError:
        return False
    return True


def _case_of(row: Any, number: int) -> str:
    if isinstance(row, _TooDeep):
        case = row.case or f"record {number}"
        raise CaseError(case, expected=f"at most {_MOST_LEVELS} levels in a record", got="thousands", next_step=CORRECT)
    if not isinstance(row, dict) or not isinstance(row.get(CASE_KEY), str) or not _is_case(row[CASE_KEY]):
        got = row.get(CASE_KEY) if isinstance(row, dict) else row
        raise CaseError(
            f"record {number}",
            expected=f"a {CASE_KEY} like case_00042 (case_ and five digits)",
            got=shown(got),
            next_step=CORRECT,
        )
    return str(row[CASE_KEY])


def _checked(case: str, entry: dict[str, Any]) -> dict[str, Any]:
    for key, value in entry.items():
        for part in (key, value):
            if expected := lacking(part):
                raise CaseError(case, expected=f"{expected} for {shown(key)}", got=shown(value), next_step=CORRECT)
    return entry


def lacking(value: Any, levels: int = _MOST_LEVELS) -> str | None:
    """What a database would accept instead of a value; None if it accepts the value."""
    if levels < 0:
        return f"at most {_MOST_LEVELS} levels"
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            return "text without NUL and half surrogate pairs"
    elif isinstance(value, float):
        if not math.isfinite(value):
            return "a number that 64 bits hold"
    elif isinstance(value, int):
        if not -_INT64 <= value < _INT64:
            return "a number that 64 bits hold"
    elif isinstance(value, list | dict):
        parts = value if isinstance(value, list) else [*value.keys(), *value.values()]
        return next((missing for part in parts if (missing := lacking(part, levels - 1))), None)
    return None


def shown(value: Any) -> str:
    """A value for a message: short, and in visible ASCII letters where it is odd."""
    try:
        text = repr(value) if str(value).isprintable() else ascii(value)
    except RecursionError:
        text = "nested lists"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
