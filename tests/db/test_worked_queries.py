"""The questions of `docs/queries.md` as they are printed there, read-only, each with the answer that it must give."""

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import catalog_session
from db.models import Case, CaseStatus, FileKind, PreparedCase, Problem, RunStatus, SplitMember, Subset, TrainingRun
from db.models.base import now
from db.queries import evaluation, ingest, training
from db.read_only import run_query
from kits_core.metrics.score import Score, Status
from kits_core.network.config import TrainingConfig
from kits_core.plan.measurement import Pair

PAGE = (Path(__file__).parents[2] / "docs" / "queries.md").read_text(encoding="utf-8")
QUERIES = dict(re.findall(r"\*\*(.+?)\*\*.*?\n\n```sql\n(.+?)```", PAGE, flags=re.DOTALL))
ANY = object()
"""A value that differs from run to run, as a time."""


@pytest.fixture
def asked(settings, small):
    """The small catalog after some days of work: records, two more runs, an evaluation with flips, files replaced."""
    with catalog_session(settings) as session:
        site = session.get_one(Case, small.cases[0]).dataset
        ingest.merge_clinical(session, site, [_record(0, "P-1", "1a", None), _record(1, "P-1", "1b", "2")])
        ingest.merge_clinical(session, site, [_record(2, "P-2", "3", "4", malignant=False)])
        late = ingest.ensure_case(session, site, "case_00004", phase="arterial")
        late.status = CaseStatus.INGESTED
        _prepared(session, small)
        _runs(session, small)
        _problems(session, small)
        _scores(session, small)
        for member in session.scalars(select(SplitMember)):
            member.fold = 0 if member.case_id == small.cases[2] else 1
    return settings


def _record(number, patient, stage, grade, *, malignant=True):
    return {
        "case_id": f"case_0000{number}", "patient_id": patient, "sex": ("female", "male")[number % 2], "age_years": 60,
        "pathology_t_stage": stage, "tumor_isup_grade": grade, "malignant": malignant,
        "tumor_histologic_subtype": "clear_cell_rcc" if malignant else "oncocytoma", "extra": {},
    }  # fmt: skip


def _prepared(session, small):
    """case_00000 has another reference since; case_00001 lost some of its tumour; case_00002 was slow."""
    first, second, third = session.scalars(select(PreparedCase).order_by(PreparedCase.case_id))
    first.bytes, second.bytes, third.bytes = 1_000_000_000, 2_000_000_000, 3_000_000_000
    second.tumor_kept = 0.75
    third.seconds, third.peak_bytes = 9.0, 3_000_000_000
    case = session.get_one(Case, small.cases[0])
    old = case.file(FileKind.SEGMENTATION)
    facts = {column.name: getattr(old, column.name) for column in old.__table__.columns}
    keep = ("id", "case_id", "kind", "version", "superseded_at", "vanished_at", "created_at", "voxels_sha256", "notes")
    facts = {name: value for name, value in facts.items() if name not in keep}
    anew = {"sha256": "sha-corrected", "archive_sha256": "archive-corrected"}
    ingest.record_file(session, case, FileKind.SEGMENTATION, facts | anew)


def _runs(session, small):
    """Run 1 on a CPU, as it is; run 2 on a card, with another step size, and it failed; run 3 on the card, too."""
    run = session.get_one(TrainingRun, small.run)
    run.config, run.environment = TrainingConfig(epochs=2).to_stored(), {"cpu": "a CPU", "gpus": "none"}
    for epoch, seconds in ((1, 110.0), (2, 90.0)):
        training.record_epoch(session, run.id, epoch, {"seconds": seconds, "kidney_dice": 0.8})
    for number in (2, 3):
        config = TrainingConfig(epochs=2, learning_rate=3e-4, deep_supervision=True, seed=number)
        run = training.find_or_open_run(
            session, recipe_id=small.recipe, split_id=small.split, config=config.to_stored(),
            config_hash=config.hash, prepared=[], flow_run_id=None,
        )  # fmt: skip
        run.environment = {"cpu": "a CPU", "gpus": "a card"}
        training.record_epoch(session, run.id, 1, {"seconds": 10.0 * number})
        training.end_run(session, run.id, RunStatus.FAILED, "the card's memory is too small")
    training.register_model(
        session, run.id, epoch=1, path="p", sha256="s", score=0.4, parameters=9, flow_run_id=None
    )  # fmt: skip
    training.end_run(session, run.id, RunStatus.COMPLETED)


def _problems(session, small):
    """case_00003 fails at its ingestion for the second time; case_00001 was held up at its preparation for 3 hours."""
    ingest.resolve_problems(session, small.cases[3], "ingest")
    ingest.record_problem(session, small.cases[3], "ingest", "the scan is cut off", "flow-9")
    first = session.scalars(select(Problem).order_by(Problem.id)).first()
    first.first_seen, first.resolved_at = now() - timedelta(hours=50), now() - timedelta(hours=49)
    first.last_seen = first.resolved_at
    noon = now()
    hours = {"first_seen": noon - timedelta(hours=4), "last_seen": noon - timedelta(hours=2), "attempts": 3}
    session.add(
        Problem(case_id=small.cases[1], stage="prepare", error="e", resolved_at=noon - timedelta(hours=1), **hours)
    )


def _scores(session, small):
    worse = evaluation.start_evaluation(
        session, model_id=small.model, split_id=small.split, subset=Subset.VALIDATION, flips=True, flow_run_id=None
    )
    measured = {
        1: [Pair("tumor_1", "left", "diameter_mm", 40.0, 37.0), Pair("found_2", "left", "diameter_mm", None, 9.0)],
        2: [Pair("tumor_1", "left", "diameter_mm", 20.0, 21.0), Pair("tumor_2", "left", "diameter_mm", 8.0, None)],
    }
    for number, (first, second) in {1: (0.6, 0.5), 2: (0.0, 0.0)}.items():
        files = (f"sha-image-{number}", f"sha-segmentation-{number}")
        for row, dice, pairs in ((small.evaluation, first, measured[number]), (worse.id, second, [])):
            scores = _of_regions(dice)
            evaluation.record_scores(session, row, small.cases[number], scores, sha256=files, measured=pairs)


def _of_regions(dice):
    status = Status.OK if dice else Status.PREDICTION_EMPTY
    scores = [Score("kidney", "dice", 0.9, Status.OK, 0.1)]
    for region in ("kidney_and_mass", "mass", "tumor"):
        scores += [Score(region, "dice", dice, status, 0.1), Score(region, "surface_dice", dice / 2, status, 0.1)]
    others = {"detected": float(dice > 0), "prediction_ml": 10.0 * (dice > 0), "reference_ml": 20.0}
    return scores + [Score("tumor", metric, value, status, 0.1) for metric, value in others.items()]


ANSWERS: dict[str, list[tuple[Any, ...]]] = {
    "Which cases failed in the last 24": [("site", "case_00003", "ingest", 1, "the scan is cut off")],
    "Which cases fail again and again": [("site", "case_00003", "ingest", 2, 3, ANY)],
    "How long do problems hold": [("ingest", 2, 1, 1.0), ("prepare", 1, 0, 3.0)],
    "How much disk": [("site", "converted", 35.0, 5.0), ("site", "prepared", 6.0, 0)],
    "What rests on a case": [
        ("evaluation", 1, "scored"), ("evaluation", 2, "scored"), ("model", 1, "learnt"),
        ("prediction", 1, "by its model"), ("prediction", 2, "by its model"), ("prepared_case", 2, "prepared"),
        ("split", 1, "drawn"), ("training_run", 1, "read"),
    ],
    "What was made from files that were replaced": [
        ("prepared_case", 1, 1, "case_00000", "segmentation"), ("training_run", 1, 1, "case_00000", "segmentation"),
    ],
    "Which versions of which files": [
        ("case_00001", "image", "raw/site/image-1.nii", "sha-image-1", 1),
        ("case_00001", "reference", "raw/site/segmentation-1.nii", "sha-segmentation-1", 1),
        ("case_00002", "image", "raw/site/image-2.nii", "sha-image-2", 1),
        ("case_00002", "reference", "raw/site/segmentation-2.nii", "sha-segmentation-2", 1),
    ],
    "Which preparations took longest": [
        ("case_00002", "recipe-a", 9.0, 3.0), (ANY, "recipe-a", 2.0, None), (ANY, "recipe-a", 2.0, None),
    ],
    "Which cases are ingested and not prepared": [("site", "case_00004", "recipe-a")],
    "How long do trainings take": [("a card", 2, 25.0, 50 / 3600), ("a CPU", 1, 100.0, 200 / 3600)],
    "Which trainings ended without": [(2, "failed", ANY, 1, "the card's memory is too small")],
    "In what settings do runs": [
        ("training", "deep_supervision", "false", "true"), ("training", "learning_rate", "0.0001", "0.0003"),
        ("training", "seed", "23", "2"),
    ],
    "How did a run learn": [(1, 1.0, 0.8, 0.25, 0, 110.0), (2, 0.5, 0.8, 0.5, 1, 90.0)],
    "Which evaluations ran": [
        (1, 1, "validation", 0, "completed", 2, ANY), (2, 1, "validation", 1, "running", 2, None),
    ],
    "Which cases are held up": [("site", "ingest", "case_00003", 1, ANY, "the scan is cut off")],
    "From a score back": [
        ("case_00002", 0.0, "ab" * 32, "recipe-a", "prepared-2", "archive-image-2",
         "https://source.example/image-2.nii.gz"),
    ],
    "Which tumours of at most 30 ml": [("case_00002", 30.0, "3")],
    "Which model is best": [(1, 1, 2, 0, 0.3, 0.15, 1)],
    "The ten worst cases of the champion": [
        (1, "case_00002", 0.0, 30.0, "nephrogenic", "oncocytoma", ANY),
        (2, "case_00001", 0.6, 20.0, "arterial", "clear_cell_rcc", ANY),
    ],
    "How does the tumour score depend": [("arterial", 1, 0.6, 1.0), ("nephrogenic", 1, 0.0, 0.0)],
    "How far off are predicted tumour volumes": [("1b", 1, -10.0, 0.5), ("3", 1, -20.0, 1.0)],
    "Who got worse": [("case_00001", 0.6, 0.5, -0.1)],
    "Where does the recipe cost more": [
        ("case_00001", 0.6, 0.91, 0.09, 0.31), ("case_00002", 0.0, 0.92, 0.08, 0.92),
    ],
    "What is in the dataset": [
        ("arterial", "female", 1, 10.0, 1), ("arterial", "male", 1, 20.0, 0), ("arterial", None, 1, None, 0),
        ("nephrogenic", "female", 1, 30.0, 0),
    ],
    "Does any patient": [(1, "P-1", 2)],
    "How large are the folds": [(0, 1, 30.0), (1, 2, 15.0)],
    "How does tumour Dice depend on the ISUP": [("2", 1, 0.6, 1.0), ("4", 1, 0.0, 0.0)],
    "In which held-out cases": [("case_00002", 20.0, "oncocytoma", 0)],
    "Where does a recipe cut": [("case_00001", "recipe-a", 0.75, 0.91)],
    "How far off are the diameters": [(3, 1, -1.0, 2.0)],
}  # fmt: skip


def test_there_are_thirty_and_each_has_its_answer():
    assert len(QUERIES) == PAGE.count("```sql") == len(ANSWERS) == 30
    assert {next(title for title in QUERIES if title.startswith(start)) for start in ANSWERS} == set(QUERIES)


@pytest.mark.parametrize("title", QUERIES, ids=[title[:40] for title in QUERIES])
def test_a_question_has_its_answer(asked, title):
    (expected,) = [answer for start, answer in ANSWERS.items() if title.startswith(start)]
    _, rows = run_query(asked, QUERIES[title])
    found = [tuple(map(_plain, row)) for row in rows]
    if title.startswith("What is in the dataset"):  # groups of one size come in any order
        found, expected = sorted(found, key=str), sorted(expected, key=str)
    assert len(found) == len(expected)
    for row, answer in zip(found, expected, strict=True):
        known = [value if wanted is not ANY else ANY for value, wanted in zip(row, answer, strict=True)]
        assert known == [pytest.approx(wanted, abs=1e-3) if isinstance(wanted, float) else wanted for wanted in answer]


def _plain(value):
    return float(value) if isinstance(value, Decimal) else int(value) if isinstance(value, bool) else value
