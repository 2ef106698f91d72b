"""Score a model on original grids and tell the result."""

from dataclasses import dataclass
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture

from db.models import RunStatus
from flows.artifacts import picture, table
from flows.fan_out import fan_out, task_runner
from flows.parameters import EvaluateParameters
from kits_core.errors import KitsError
from kits_core.report.page import case_rows, score_rows
from tasks.evaluate import CaseToEvaluate, EvaluationPlan, end_evaluation, plan_evaluation, predict_case, score_case
from tasks.report import Written, write_report

# Scoring runs beside the next case's prediction; more would hold more scans in memory than it gains.
_CASES_AT_ONCE = 3


@dataclass(frozen=True)
class Evaluated:
    """An evaluation in the catalog and its page. `scores`: a row of text a region, read back from the catalog."""

    evaluation_id: int
    model_id: int
    report: Path
    scores: list[dict[str, str]]


@flow(
    name="evaluate",
    flow_run_name="evaluate · model {parameters.model} · {parameters.subset}",
    task_runner=task_runner(),
)
def evaluate(parameters: EvaluateParameters) -> Evaluated:
    """Predict and score the cases that lack scores, then write the report from the catalog."""
    plan = plan_evaluation(parameters.model, parameters.subset)
    outcomes = fan_out(
        "evaluate",
        plan.missing,
        lambda case: _submit(case, plan),
        workers=_CASES_AT_ONCE,
        name=lambda case: case.name,
    )
    failed = [(outcome.item.name, str(outcome.error)) for outcome in outcomes if outcome.error]
    if failed:
        end_evaluation(plan.evaluation_id, RunStatus.FAILED, None)
        raise KitsError(
            f"evaluation {plan.evaluation_id}: expected scores of {plan.cases} cases, got none of {len(failed)} "
            f"(first: {failed[0][1]}); mend these and run evaluate again, which goes on from here"
        )
    written = write_report(plan.evaluation_id)
    end_evaluation(plan.evaluation_id, RunStatus.COMPLETED, written.path)
    create_markdown_artifact(_markdown(written), key="evaluation", description="Scores of a model")
    scores = score_rows(written.report.scores, written.report.ceilings)
    return Evaluated(plan.evaluation_id, plan.model_id, written.path, scores)


def _submit(case: CaseToEvaluate, plan: EvaluationPlan) -> list[PrefectFuture[None]]:
    predicted = predict_case.submit(case, plan)
    return [predicted, score_case.submit(case, plan, wait_for=[predicted], return_state=False)]


def _markdown(written: Written) -> str:
    report = written.report
    parts = [
        f"# {report.title}",
        "Research only; not a medical device.",
        table(score_rows(report.scores, report.ceilings)),
        *(picture(title, png) for title, png in report.figures.items()),
        "## Every case",
        table(case_rows(report.scores)),
        f"The whole report: `{written.path}`",
    ]
    return "\n\n".join(parts) + "\n"
