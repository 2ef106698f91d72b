"""The catalog for notebooks: answers as DataFrames, and where a model's file is."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from db.engine import reading_session
from db.queries.evaluation import find_evaluation, score_frame
from db.queries.training import find_model
from db.read_only import run_query
from db.settings import Settings
from kits_core.recipe.recipe import Recipe


@dataclass(frozen=True)
class ModelFile:
    """A trained model. `path`: its `.keras` file, for `kits_core.load_network`. `recipe`: what it takes."""

    model_id: int
    path: Path
    sha256: str
    recipe: Recipe


def query(sql: str, settings: Settings | None = None, *, timeout_s: float = 30.0) -> pd.DataFrame:
    """The answer to one SQL statement that only reads, a row a record; JSON comes as text.

    `settings`: of the home to ask; of `$KITS_HOME` if None. `timeout_s`: seconds before the query is stopped. Raises
    `KitsError` for a statement that fails, would write, or takes too long, and for a role of PostgreSQL that could do
    more than read.
    """
    columns, rows = run_query(settings or Settings(), sql, timeout_s)
    return pd.DataFrame(rows, columns=columns)


def scores(evaluation: int | None = None, settings: Settings | None = None) -> pd.DataFrame:
    """Every value of an evaluation, the newest one if None, for `kits_core.summarise`.

    Columns: `case`, `region`, `metric`, `value`, `status`, `diagonal_mm`; distances in mm, volumes in ml. Raises
    `KitsError` where there is no such evaluation.
    """
    with reading_session(settings or Settings()) as session:
        return score_frame(session, find_evaluation(session, evaluation).id)


def model_file(model: str = "champion", settings: Settings | None = None) -> ModelFile:
    """The file of a model: `champion`, `latest` or its id. Raises `KitsError` where the catalog has no such model."""
    chosen = settings or Settings()
    with reading_session(chosen) as session:
        row = find_model(session, model)
        return ModelFile(row.id, chosen.absolute(row.path), row.sha256, row.run.recipe.read())
