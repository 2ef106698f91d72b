"""The catalog with 5,000 cases and 20 evaluations: every view and worked query, on SQLite and PostgreSQL.

    python tests/benchmarks/bench_catalog.py [--plans 500]

Each evaluation scores 2,000 held-out cases with every metric of every region, 48 values a case: 1.9 million values in
200,000 rows. A question is asked as `kits sql` asks it, with a connection of its own, and all its rows are fetched;
median of 3 after one for the cache. PostgreSQL runs with its default memory and with statistics (`ANALYZE`, which it
does by itself in use); SQLite as the catalog is, without. `--plans`: the databases' plans of questions that take
longer, in ms.
"""

import argparse
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog_rows import DATASET, fill
from common import show_markdown
from postgresql import NoPostgresqlError, running_cluster
from sqlalchemy import text

from db.engine import open_catalog
from db.read_only import run_query
from db.settings import Settings
from db.views import VIEWS, View

_PAGE = Path(__file__).parents[2] / "docs" / "queries.md"
_CASE = f"dataset = '{DATASET}' AND case_name = 'case_00042'"
_BY = {
    "evaluation_id": "evaluation_id = 2",
    "run_id": "run_id = 2",
    "split_id": "split_id = 1",
    "prediction_id": "prediction_id = 2",
}
_OF_AN_EVALUATION = {
    "lineage_node": "kind = 'evaluation' AND number = 2",
    "lineage_edge": "target_kind = 'evaluation' AND target_number = 2",
    "rests_on_case": "kind = 'evaluation' AND number = 2",
    "stale": "what = 'evaluation' AND number = 2",
}
_TIMEOUT_S = 600.0
_ROUNDS = 3


def conditions(view: View) -> list[str]:
    """Of a question for one case, one evaluation or one run, as far as the view can be asked for them."""
    of_a_case = [_CASE if "dataset" in view.columns else "case_name = 'case_00042'"] * ("case_name" in view.columns)
    of_one = [condition for column, condition in _BY.items() if column in view.columns]
    of_an_evaluation = [condition for name, condition in _OF_AN_EVALUATION.items() if name == view.name]
    return of_a_case + of_one + of_an_evaluation


def questions() -> dict[str, str]:
    """Every view for one case, evaluation and run, and all of it; then the worked queries, by what is shown of them."""
    found = {}
    for view in VIEWS:
        for condition in conditions(view):
            found[f"`{view.name}`, `{condition}`"] = f"SELECT * FROM {view.name} WHERE {condition}"
        found[f"`{view.name}`, 100 rows"] = f"SELECT * FROM {view.name} LIMIT 100"
        found[f"`{view.name}`, all counted"] = f"SELECT COUNT(*) FROM {view.name}"
    found["`leaderboard`, all of it"] = "SELECT * FROM leaderboard"
    page = _PAGE.read_text(encoding="utf-8")
    return found | dict(re.findall(r"\*\*(.+?)\*\*.*?\n\n```sql\n(.+?)```", page, flags=re.DOTALL))


def measure(settings: Settings, sql: str) -> tuple[float, int]:
    """Milliseconds of a question, the median, and how many rows or what count it gave."""
    times = []
    for _ in range(_ROUNDS + 1):
        start = time.perf_counter()
        _, rows = run_query(settings, sql, timeout_s=_TIMEOUT_S)
        times.append((time.perf_counter() - start) * 1000)
    count = rows[0][0] if sql.startswith("SELECT COUNT(*)") else len(rows)
    return statistics.median(times[1:]), count


@contextmanager
def databases() -> Iterator[dict[str, Settings]]:
    """An empty catalog on each database that there is."""
    with tempfile.TemporaryDirectory() as folder:
        sqlite = {"SQLite": Settings(home=Path(folder) / "own", database_url=None)}
        try:
            with running_cluster() as cluster:
                cluster.execute("CREATE DATABASE bench")
                yield sqlite | {"PostgreSQL": Settings(home=Path(folder) / "team", database_url=cluster.url("bench"))}
                for settings in sqlite.values():
                    open_catalog(settings).dispose()
        except NoPostgresqlError as reason:
            print(f"PostgreSQL is left out: {reason}")
            yield sqlite


def megabytes(settings: Settings) -> float:
    """Size of a filled catalog, after PostgreSQL's statistics were brought up to date."""
    engine = open_catalog(settings)
    if engine.dialect.name == "sqlite":
        return sum(path.stat().st_size for path in settings.home.glob("catalog.db*")) / 1e6
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        return float(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()) / 1e6


def plan(settings: Settings, sql: str) -> str:
    """What the database does for a question, in its own words."""
    prefix = "EXPLAIN QUERY PLAN" if settings.catalog_url.startswith("sqlite") else "EXPLAIN (ANALYZE, BUFFERS)"
    with open_catalog(settings).connect().execution_options(reads_only=True) as connection:
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(f"{prefix} {sql}"))


def main() -> None:
    """Fill, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 cases, three evaluations")
    parser.add_argument("--plans", type=float, metavar="MS", help="show the plan of what takes longer")
    given = parser.parse_args()
    sizes = (200, 80, 3) if given.quick else (5000, 2000, 20)
    with databases() as found:
        facts, rows = [], [{"question": title, "rows": 0} for title in questions()]
        for name, settings in found.items():
            seconds, scores = _filled(settings, sizes)
            facts.append({"database": name, "scores": scores, "MB": megabytes(settings), "filled in, s": seconds})
            for row, sql in zip(rows, questions().values(), strict=True):
                row[f"{name}, ms"], row["rows"] = measure(settings, sql)
                if given.plans is not None and row[f"{name}, ms"] > given.plans:
                    print(f"\n{name}: {row['question']}\n{plan(settings, sql)}\n", flush=True)
        show_markdown(f"A catalog of {sizes[0]} cases, {sizes[2]} evaluations of {sizes[1]}", facts)
        show_markdown("Questions to it", rows)


def _filled(settings: Settings, sizes: tuple[int, int, int]) -> tuple[float, int]:
    start = time.perf_counter()
    scores = fill(open_catalog(settings), *sizes)
    return time.perf_counter() - start, scores


if __name__ == "__main__":
    main()
