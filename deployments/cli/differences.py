"""The differences of training runs: settings whose values are not the same in all of them."""

from collections.abc import Iterable, Mapping
from typing import Any

OF_RUNS = "SELECT run_id AS number, setting, value FROM run_setting ORDER BY run_id"
OF_EVALUATIONS = (
    "SELECT e.id AS number, s.setting, s.value FROM evaluation e JOIN model m ON m.id = e.model_id "
    "JOIN run_setting s ON s.run_id = m.run_id WHERE e.id IN ({}, {}) ORDER BY 1"
)


def differing(rows: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, str | None]]:
    """For each `number`, the values of those settings that are not the same for all numbers; from one row a setting."""
    found: dict[str, dict[int, str | None]] = {}
    for row in rows:
        found.setdefault(row["setting"], {})[row["number"]] = row["value"]
    numbers = {number for values in found.values() for number in values}
    others = {name: values for name, values in found.items() if len({values.get(n) for n in numbers}) > 1}
    return {number: {name: values.get(number) for name, values in others.items()} for number in sorted(numbers)}


def in_words(settings: Mapping[str, str | None]) -> str:
    """As `filters 8 · seed 1`; a setting without a value is `none`."""
    return " · ".join(f"{name} {value or 'none'}" for name, value in settings.items())
