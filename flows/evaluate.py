"""Score a model on original grids and report the result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture

from db.queries.evaluation import scores_over_time
from flows.artifacts import link, markdown, picture, table
from flows.fan_out import fan_out, task_runner
from flows.outcomes import Reason, completed, reasons
from flows.parameters import EvaluateParameters
from flows.stage import stage
from kits_core.errors import KitsError
from kits_core.report.methods import comparability
from kits_core.report.tables import Rows, case_rows, official_rows, score_rows, two_tables
from tasks.catalog import reading
from tasks.evaluate import (
    CaseToEvaluate,
    EvaluationPlan,
    choose_cleanup,
    complete_evaluation,
    find_evaluation,
    find_islands,
    noting_the_end,
    plan_evaluation,
    predict_case,
    score_case,
    score_missing_case,
)
from tasks.report import Written, write_report
from tasks.turns import take_turns

# Islands are counted while the next case is predicted. More cases at once would need much more memory for little gain.
_PREDICTED_AT_ONCE = 2
_PICTURED = 3
_EVALUATIONS_SHOWN = 20
_BESIDE_DICE = {"IoU", "surface Dice", "volumetric similarity", "detected"}
_OVER_TIME = {
    "kidney": "kidney_dice",
    "tumour": "tumor_dice",
    "official": "official_dice",
    "surface": "official_surface_dice",
}
_OF_THE_COLUMNS = (
    "Mean Dice of kidney and tumour. official: the challenge's mean Dice; surface: its mean surface Dice. Times are in "
    "UTC."
)
_SHORT = {
    "cases without a distance": "without",
    "mean surface distance, mm": "mean surface, mm",
    "HD95 with these as the diagonal, mm": "HD95, diagonal",
}
"""Of columns that are wider than the dashboard has room for."""
_OF_DISTANCES = (
    "without: cases without a distance, as one mask is empty; HD95, diagonal: with each of them as the diagonal of its "
    "image, mm."
)


@dataclass(frozen=True)
class Evaluated:
    """An evaluation in the catalog and its page.

    `scores`: a row of text a region, read back from the catalog. `missing`: cases without a prediction, which count as
    zero.
    """

    evaluation_id: int
    model_id: int
    report: Path
    scores: list[dict[str, str]]
    missing: list[str]


@stage(EvaluateParameters, task_runner=task_runner())
def evaluate(parameters: EvaluateParameters) -> Evaluated:
    """Predict and score the cases that lack scores, then write the report from the catalog.

    A case that the recipe refuses counts as zero. Any other failure fails the flow, and the next run goes on from
    there.
    """
    evaluation_id = find_evaluation(parameters.model, parameters.subset, parameters.flips, parameters.split)
    # An automation may start an evaluation that a person has started already: the second run finds it done.
    turn = take_turns(f"evaluation-{evaluation_id}", f"is at evaluation {evaluation_id}")
    with turn, noting_the_end(evaluation_id):
        return _evaluate(plan_evaluation(evaluation_id, parameters.workers))


def _evaluate(plan: EvaluationPlan) -> Evaluated:
    predicted = fan_out(
        "predict", plan.missing, lambda case: _predict(case, plan), workers=_PREDICTED_AT_ONCE, name=_name
    )
    found = reasons(predicted, _name)
    _stop_on_errors(plan, [reason for reason in found if not reason.refused])
    refused = {reason.case for reason in found}
    if refused and len(refused) == plan.cases:
        raise KitsError(f"expected some case to be predicted, got none of {plan.cases} (first: {found[0].text})")
    chosen = plan.cleanup
    if chosen is None:
        chosen = choose_cleanup(plan, [outcome.result for outcome in predicted if outcome.error is None])
    rules = chosen.rules

    def score(case: CaseToEvaluate) -> list[PrefectFuture[None]]:
        return [score_missing_case.submit(case, plan) if case.name in refused else score_case.submit(case, plan, rules)]

    _stop_on_errors(plan, reasons(fan_out("evaluate", plan.missing, score, workers=plan.workers, name=_name), _name))
    written = write_report(plan.evaluation_id, plan.workers)
    complete_evaluation(plan.evaluation_id, written.path)
    return _tell(plan, written, sorted(refused))


def _tell(plan: EvaluationPlan, written: Written, missing: list[str]) -> Evaluated:
    """Artifacts, and the state that the flow ends in."""
    create_markdown_artifact(_markdown(written), key="evaluation", description="Scores of a model")
    title = f"Report of evaluation {plan.evaluation_id}"
    create_markdown_artifact(
        f"{link(written.path, title)}\n\nThe file: {markdown(written.path)}\n", key="report", description=title
    )
    over_time = _over_time(written.report.lineage.dataset)
    create_markdown_artifact(over_time, key="scores", description="Scores of every model, over time")
    done = Evaluated(
        evaluation_id=plan.evaluation_id,
        model_id=plan.model_id,
        report=written.path,
        scores=score_rows(written.report.scores, written.report.ceilings),
        missing=missing,
    )
    if not missing:
        return done
    problems = f"{len(missing)} of {plan.cases} cases have no prediction and count as zero: {', '.join(missing)}"
    get_run_logger().warning("%s", problems)
    return completed(done, problems)


def _predict(case: CaseToEvaluate, plan: EvaluationPlan) -> list[PrefectFuture[Any]]:
    predicted = predict_case.submit(case, plan)
    if plan.cleanup is not None:
        return [predicted]
    return [predicted, find_islands.submit(case, plan, wait_for=[predicted], return_state=False)]


def _name(case: CaseToEvaluate) -> str:
    return case.name


def _stop_on_errors(plan: EvaluationPlan, found: Sequence[Reason]) -> None:
    if found:
        raise KitsError(
            f"evaluation {plan.evaluation_id}: expected scores of {plan.cases} cases, got none of {len(found)} "
            f"(first: {found[0].text}); mend these and run evaluate again, which goes on from here"
        )


def _some_cases(pictured: Mapping[str, Mapping[str, bytes]]) -> list[str]:
    """Only the first few of each kind, because an artifact is stored in Prefect's database. The page has all."""
    shown = [item for pictures in pictured.values() for item in list(pictures.items())[:_PICTURED]]
    return [f"{markdown(caption)}\n\n{picture(caption, png)}" for caption, png in shown]


def _over_time(dataset: str) -> str:
    with reading() as session:
        found = scores_over_time(session, dataset, _EVALUATIONS_SHOWN)
    rows = [
        {
            "": row["evaluation_id"],
            "ended": row["ended_at"].strftime("%Y-%m-%d %H:%M"),
            "model": f"{row['model_id']}, champion" if row["is_champion"] else row["model_id"],
            "cases": f"{row['cases']}, {row['subset']}" + (", flips" if row["flips"] else ""),
            **{name: f"{row[column]:.3f}" if row[column] is not None else "–" for name, column in _OVER_TIME.items()},
        }
        for row in found
    ]
    return f"# {markdown(dataset)}: evaluations, the newest first\n\n{table(rows)}\n\n{_OF_THE_COLUMNS}\n"


def narrow_tables(scores: Rows) -> list[Rows]:
    """Scores as tables that fit beside the dashboard's side panel."""
    overlap, distances = two_tables(scores)
    dice = overlap[0].keys() - _BESIDE_DICE
    return [
        [{title: text for title, text in row.items() if title in dice} for row in overlap],
        [{title: text for title, text in row.items() if title in {"region", *_BESIDE_DICE}} for row in overlap],
        [{_SHORT.get(title, title): text for title, text in row.items() if title != "cases"} for row in distances],
    ]


def _markdown(written: Written) -> str:
    report = written.report
    parts = [
        f"# {markdown(report.title)}",
        "Research only; not a medical device.",
        f"{link(written.path, 'The whole report')}: {markdown(written.path)}",
        *(f"**{markdown(sentence)}.**" for sentence in report.stale),
        *(table(rows) for rows in narrow_tables(score_rows(report.scores, report.ceilings))),
        _OF_DISTANCES,
        table(official_rows(report.official)),
        markdown(comparability(report.official)),
        *(f"### {markdown(title)}\n\n{picture(title, png)}" for title, png in written.figures.items()),
        *_some_cases(report.cases_pictured),
        "## Every case",
        table(case_rows(report.scores)),
    ]
    return "\n\n".join(parts) + "\n"
