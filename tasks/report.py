"""The report of an evaluation, read back from the catalog."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from prefect import get_run_logger, task
from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL
from sqlalchemy.orm import Session

from db.models import Case, Evaluation, FileKind, Model, Subset
from db.models.base import now
from db.queries import evaluation as queries
from db.queries import split as split_queries
from db.queries.training import history
from db.settings import current_settings
from kits_core.disk import check_room
from kits_core.files import write_text_atomically
from kits_core.inference.cleanup import NOT_CHOSEN, Choice
from kits_core.metrics.score import Status
from kits_core.metrics.subgroup import by_subgroup
from kits_core.report.methods import Inference, Lineage
from kits_core.report.page import Report, render
from kits_core.report.sections import Section, scored_sections
from kits_core.report.style import PAGE, Look
from kits_core.results import sealed, set_aside_page
from tasks.catalog import file_of, reading
from tasks.evaluate import prediction_path
from tasks.isolated import run_isolated
from tasks.policy import COMPUTE

_WORST = 10


@dataclass(frozen=True)
class Written:
    """A report on disk, and its parts. `figures`: PNG by title."""

    path: Path
    report: Report
    figures: dict[str, bytes]


@task(name="write-report", task_run_name="evaluation {evaluation_id} · report", **COMPUTE)
def write_report(evaluation_id: int, workers: int) -> Written:
    """Read an evaluation from the catalog and write its page; done again, it replaces the page.

    One that someone has changed is kept under another name.
    """
    report = read_report(evaluation_id, workers)
    figures = report.figures()
    path = report_path(evaluation_id)
    page = sealed(render(report, figures))
    check_room(path.parent, len(page.encode()), "the report")
    if kept := set_aside_page(path):
        get_run_logger().warning("%s was not as kits wrote it: it is kept as %s", path, kept)
    write_text_atomically(path, page)
    return Written(path, report, figures)


def report_path(evaluation_id: int) -> Path:
    """Where the page of an evaluation lies."""
    return current_settings().reports / f"evaluation_{evaluation_id:05d}.html"


def read_report(evaluation_id: int, workers: int, *, pictures: bool = True) -> Report:
    """Scores, ceilings, lineage and pictures of an evaluation; the pictures are made by `workers` processes."""
    with reading() as session:
        evaluation = session.get_one(Evaluation, evaluation_id)
        model, run = evaluation.model, evaluation.model.run
        subset = [member.case for member in queries.evaluated_members(session, evaluation)]
        scores = queries.score_frame(session, evaluation_id)
        measured = queries.measurement_frame(session, evaluation_id)
        facts = queries.case_facts(session, [case.id for case in subset])
        ceilings = queries.ceiling_frame(session, run.recipe_id, [case.id for case in subset])
        curve = history(session, run.id)
        lineage = lineage_of(session, model)
        cleanup = NOT_CHOSEN if evaluation.cleanup is None else Choice.from_json(evaluation.cleanup)
        inference = Inference(evaluation.flips, cleanup, evaluation.locator_id, queries.scores_its_own(evaluation))
        stale = queries.what_is_stale(session, evaluation_id)
        runs = {"training": run.flow_run_id, "evaluation": evaluation.flow_run_id}
    return Report(
        title=f"Evaluation {evaluation_id}: model {lineage.model_id} on {len(subset)} {evaluation.subset} cases",
        subset=evaluation.subset.value,
        scores=scores,
        measured=measured,
        ceilings={str(region): float(value) for region, value in ceilings.groupby("region")["value"].mean().items()},
        subgroups=by_subgroup(scores, facts, ceilings),
        history=curve,
        lineage=lineage,
        inference=inference,
        created=now().strftime("%Y-%m-%d %H:%M UTC"),
        cases_pictured=_pictures(scores, subset, evaluation_id, workers) if pictures else {},
        flow_runs={what: flow_run for what, flow_run in runs.items() if flow_run is not None},
        stale=stale,
        dashboard=(PREFECT_UI_URL.value() or (PREFECT_API_URL.value() or "").removesuffix("/api")).rstrip("/"),
    )


def lineage_of(session: Session, model: Model) -> Lineage:
    """The lineage of a model, from the catalog."""
    run = model.run
    if (origin := run.read_origin()) is not None:
        return Lineage(
            dataset=origin.dataset,
            source=origin.source,
            train_cases=origin.train_cases,
            validation_cases=origin.validation_cases,
            split_seed=origin.split_seed,
            split_hash=origin.split_hash,
            strata=origin.strata,
            imported=origin.sentence,
            **_of_model(model),
        )
    fold = run.read_config().fold
    seen = {case.case_id for case in run.cases}  # missing for a run from before the catalog noted them
    sides = (split_queries.side(session, run.split_id, subset, fold) for subset in Subset)
    train, validation = (sum(not seen or member.case_id in seen for member in side) for side in sides)
    return Lineage(
        dataset=run.split.dataset.name,
        source=run.split.dataset.source,
        train_cases=train,
        validation_cases=validation,
        split_seed=run.split.seed,
        split_hash=run.split.hash,
        strata=tuple(run.split.strata),
        grown=run.split.kept_id is not None,
        **_of_model(model),
    )


def _of_model(model: Model) -> dict[str, Any]:
    run = model.run
    return {
        "recipe": run.recipe.read(),
        "config": run.read_config(),
        "run_id": run.id,
        "model_id": model.id,
        "model_epoch": model.epoch,
        "model_sha256": model.sha256,
        "parameters": model.parameters,
        "score": model.score,
        "environment": run.environment,
    }


def _pictures(
    scores: pd.DataFrame, cases: Sequence[Case], evaluation_id: int, workers: int
) -> dict[str, dict[str, bytes]]:
    captions, chosen = captions_of(scores), pictured(_tumor_dice(scores))
    drawn = draw_cases(scores, cases, evaluation_id, workers, (PAGE,))
    return {title: {captions[name]: drawn[name][0] for name in group} for title, group in chosen.items()}


def _tumor_dice(scores: pd.DataFrame) -> pd.Series:
    dice = scores[(scores["metric"] == "dice") & (scores["region"] == "tumor")]
    return dice.set_index("case")["value"].sort_index()


def captions_of(scores: pd.DataFrame) -> dict[str, str]:
    """What is said below a case's picture, by the case's name."""
    dice = scores[scores["metric"] == "dice"].pivot_table(index="case", columns="region", values="value")
    return {
        str(name): f"{name}: tumour Dice {row['tumor']:.3f}, kidney Dice {row['kidney']:.3f}"
        for name, row in dice.iterrows()
    }


def draw_cases(
    scores: pd.DataFrame, cases: Sequence[Case], evaluation_id: int, workers: int, looks: Sequence[Look]
) -> dict[str, list[bytes]]:
    """The pictures of the cases that a report shows, one in each look, by the case's name."""
    missing = set(scores.loc[scores["status"] == Status.MISSING, "case"])
    by_name = {case.name: case for case in cases}
    chosen = pictured(_tumor_dice(scores)).values()
    names = list(dict.fromkeys(name for group in chosen for name in group))  # the median may be a worst

    def draw(name: str) -> list[bytes]:
        return _draw(by_name[name], None if name in missing else evaluation_id, workers, looks)

    with ThreadPoolExecutor(workers) as pool:
        return dict(zip(names, pool.map(draw, names), strict=True))


def pictured(tumor_dice: pd.Series) -> dict[str, list[str]]:
    """The cases that a report shows, by title: the ten worst, worst first, the median and the best."""
    ranked = [str(case) for case in tumor_dice.sort_values(kind="stable").index]
    singles = {"Median": [ranked[len(ranked) // 2]], "Best": [ranked[-1]]} if len(ranked) > 1 else {}
    if len(ranked) <= _WORST:  # every case is shown once
        ranked = [case for case in ranked if [case] not in singles.values()]
    shown = {"Worst tumour Dice": ranked[:_WORST], **singles}
    return {title: cases for title, cases in shown.items() if cases}


def _draw(case: Case, evaluation_id: int | None, workers: int, looks: Sequence[Look]) -> list[bytes]:
    from kits_core.report.figures import case_slices  # noqa: PLC0415 - seaborn takes a second

    settings = current_settings()
    files = [settings.absolute(file_of(case, kind).path) for kind in (FileKind.IMAGE, FileKind.SEGMENTATION)]
    prediction = None if evaluation_id is None else prediction_path(settings, evaluation_id, case.name)
    sections: list[Section] = run_isolated(workers, scored_sections, case.name, *files, prediction).result
    return [case_slices([sections], [""], compared=None, look=look) for look in looks]
