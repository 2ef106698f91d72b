"""The views: the catalog's public face for people who write SQL. Their columns never change meaning.

The meaning of each view and column is written only here. `kits sql --views`, PostgreSQL's comments and
`docs/catalog.md` show it.
"""

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from db.views.cases import CASE_OVERVIEW, DISK_USAGE, OPEN_PROBLEM, PATIENT, PROBLEM_HISTORY
from db.views.graph import LINEAGE_EDGE, LINEAGE_NODE, RESTS_ON_CASE, RUN_ANCESTOR
from db.views.origin import LINEAGE, STALE
from db.views.predictions import PLAN_MEASUREMENT, PREDICTION_OVERVIEW
from db.views.scores import CASE_METRIC_WIDE, EVALUATION_OVERVIEW, LEADERBOARD, MEASUREMENT_ERROR, WORST_CASE
from db.views.training import LEARNING_CURVE, PREPARED_OVERVIEW, RUN_OVERVIEW, RUN_SETTING, SPLIT_CASE, SPLIT_OVERVIEW
from db.views.view import View
from kits_core.errors import KitsError

__all__ = ["VIEWS", "View", "create_views", "drop_views"]

_STANDS_ON_IT = "2BP01"  # PostgreSQL's code for what cannot be dropped, because other things depend on it

VIEWS = (
    CASE_OVERVIEW,
    PATIENT,
    OPEN_PROBLEM,
    PROBLEM_HISTORY,
    DISK_USAGE,
    PREPARED_OVERVIEW,
    SPLIT_OVERVIEW,
    SPLIT_CASE,
    RUN_OVERVIEW,
    RUN_SETTING,
    LEARNING_CURVE,
    EVALUATION_OVERVIEW,
    LEADERBOARD,
    CASE_METRIC_WIDE,
    WORST_CASE,
    MEASUREMENT_ERROR,
    PREDICTION_OVERVIEW,
    PLAN_MEASUREMENT,
    LINEAGE,
    LINEAGE_NODE,
    LINEAGE_EDGE,
    RUN_ANCESTOR,
    RESTS_ON_CASE,
    STALE,
)


def create_views(connection: Connection) -> None:
    """Make every view; on PostgreSQL with what it and its columns mean as comments."""
    for view in VIEWS:
        _execute(connection, f"CREATE VIEW {view.name} AS {view.sql_for(connection.dialect.name)}")
        if connection.dialect.name == "postgresql":
            _execute(connection, f"COMMENT ON VIEW {view.name} IS {_quoted(view.description)}")
            for column, meaning in view.columns.items():
                _execute(connection, f"COMMENT ON COLUMN {view.name}.{column} IS {_quoted(meaning)}")


def drop_views(connection: Connection) -> None:
    """Remove every view that is there. Raises `KitsError` where PostgreSQL has views of others that stand on them."""
    there = set(inspect(connection).get_view_names())
    for view in reversed(VIEWS):
        if view.name in there:
            _drop(connection, view.name)


def _drop(connection: Connection, name: str) -> None:
    try:
        connection.execute(text(f"DROP VIEW {name}"))
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _STANDS_ON_IT:
            raise
        others = error.orig.diag.message_detail  # type: ignore[union-attr]
        raise KitsError(
            f"upgrade of the catalog: expected no objects of others on the view {name}, which is made again, "
            f"got: {others}; drop that, run kits status, which upgrades, and make it again"
        ) from error


def _execute(connection: Connection, statement: str) -> None:
    # Without parameters a driver takes a percent sign as it is.
    connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"
