"""The queries of `docs/queries.md` run as they are printed there, read-only, and answer what they say."""

import re
from pathlib import Path

import pytest

from db.engine import catalog_session
from db.models import Subset
from db.queries import evaluation
from db.read_only import run_query
from kits_core.metrics.score import Score, Status

PAGE = (Path(__file__).parents[2] / "docs" / "queries.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"\*\*(.+?)\*\*.*?\n\n```sql\n(.+?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def asked(settings, small):
    """The small catalog with a case missed altogether, official scores, and a second evaluation that is worse."""
    with catalog_session(settings) as session:
        worse = evaluation.start_evaluation(
            session, model_id=small.model, split_id=small.split, subset=Subset.VALIDATION, flips=True, flow_run_id=None
        )
        for number, (first, second) in {1: (0.6, 0.5), 2: (0.0, 0.0)}.items():
            files = (f"sha-image-{number}", f"sha-segmentation-{number}")
            for row, dice in ((small.evaluation, first), (worse.id, second)):
                evaluation.record_scores(session, row, small.cases[number], _scores(dice), sha256=files)
    return settings


def _scores(dice):
    status = Status.OK if dice else Status.PREDICTION_EMPTY
    scores = [
        Score(region, metric, value, status, 0.1)
        for region in ("kidney_and_mass", "mass", "tumor")
        for metric, value in (("dice", dice), ("surface_dice", dice / 2))
    ]
    scores += [Score("tumor", "detected", float(dice > 0), status, 0.1)]
    scores += [Score("tumor", metric, 10.0, status, 0.1) for metric in ("prediction_ml", "reference_ml")]
    return scores


def test_there_are_ten():
    assert len(QUERIES) == PAGE.count("```sql") == 10


@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[title[:40] for title, _ in QUERIES])
def test_a_worked_query_has_an_answer(asked, title, query):
    columns, rows = run_query(asked, query)
    assert columns
    assert rows, title


def _answer(settings, word):
    ((_, query),) = [pair for pair in QUERIES if word in pair[0]]
    columns, rows = run_query(settings, query)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def test_some_answers_by_hand(asked):
    (missed,) = _answer(asked, "nephrogenic phase did")
    assert (missed["case_name"], missed["tumor_ml"]) == ("case_00002", 30.0)
    best = _answer(asked, "best on the held-out")
    assert [row["official_dice"] for row in best] == [pytest.approx(0.3)]
    (change,) = _answer(asked, "got worse")
    assert (change["case_name"], change["change"]) == ("case_00001", pytest.approx(-0.1))
    lost = _answer(asked, "perfect model still lose")
    assert [row["case_name"] for row in lost] == ["case_00001", "case_00002"]
    assert lost[0]["lost_by_the_recipe"] == pytest.approx(0.09)
    (chain,) = _answer(asked, "chain of one case")
    assert chain["source_url"] == "https://source.example/image-2.nii.gz"
