"""A view, and its SQL for each database."""

import re
from dataclasses import dataclass

_KINDS = {"int": "INTEGER", "float": "DOUBLE PRECISION", "bool": "BOOLEAN", "text": "TEXT"}
_JSON = re.compile(r"json_(int|float|bool|text)\(([\w.]+), '(\w+)'\)")
_SECONDS = re.compile(r"seconds_between\(([\w.]+), ([\w.]+)\)")


@dataclass(frozen=True)
class View:
    """A view, each column with its meaning.

    `sql` uses what SQLite and PostgreSQL have in common, and two functions of its own, which are translated for each:
    `json_int(table.column, 'key')`, also `float`, `bool` and `text`, a value of an object in a column of JSON;
    `seconds_between(earlier, later)`, of two times.
    """

    name: str
    description: str
    columns: dict[str, str]
    sql: str

    def sql_for(self, dialect: str) -> str:
        """The query in the words of `sqlite` or `postgresql`."""
        if dialect == "sqlite":
            sql = _SECONDS.sub(
                r"ROUND((julianday(\2) - julianday(\1)) * 86400, 3)", _JSON.sub(_json_of_sqlite, self.sql)
            )
            # Its CURRENT_TIMESTAMP has whole seconds, and would be earlier than a row that was just written.
            return sql.replace("julianday(CURRENT_TIMESTAMP)", "julianday('now')")
        return _SECONDS.sub(
            r"CAST(ROUND(CAST(EXTRACT(EPOCH FROM (\2 - \1)) AS NUMERIC), 3) AS DOUBLE PRECISION)",
            _JSON.sub(_json_of_postgresql, self.sql),
        )


def _json_of_sqlite(found: re.Match[str]) -> str:
    return f"json_extract({found[2]}, '$.{found[3]}')"


def _json_of_postgresql(found: re.Match[str]) -> str:
    return f"CAST({found[2]} ->> '{found[3]}' AS {_KINDS[found[1]]})"
