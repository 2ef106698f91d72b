"""From a hospital's own scans to surgical plans."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.futures import PrefectFuture

from flows.artifacts import link, listed, table
from flows.fan_out import fan_out, threads
from flows.outcomes import completed, counted, reasons
from flows.parameters import PredictParameters
from flows.stage import stage
from kits_core.errors import KitsError
from kits_core.plan.files import PAGE
from tasks.predict import (
    PredictionPlan,
    PredictionRequest,
    ScanToPredict,
    plan_predictions,
    plan_segmented_scan,
    segment_scan,
)
from tasks.training_range import learn_range
from tasks.turns import take_turns

# The next scan is segmented while the last one is measured.
_AT_ONCE = 1


@dataclass(frozen=True)
class Planned:
    """A scan with its plan. `tumors`: a row of text each. `remarks`: what a reader must know."""

    scan: str
    folder: Path
    page: Path
    tumors: list[dict[str, str]]
    remarks: list[str]


@dataclass(frozen=True)
class Predicted:
    """`planned`: now; `done`: folders whose plan was there already; `refused`: the reasons."""

    planned: list[Planned]
    done: list[Path]
    refused: list[str]


@stage(PredictParameters, task_runner=threads())
def predict(parameters: PredictParameters) -> Predicted:
    """Segment, measure and show each scan. A refused or failed scan is named and does not stop the others."""
    asked = PredictionRequest(
        scans=tuple(Path(scan) for scan in parameters.scans),
        out=Path(parameters.out).expanduser().absolute() if parameters.out else None,
        model=parameters.model,
        series=parameters.series,
        flips=parameters.flips,
        settle_seconds=parameters.settle_seconds if parameters.watch else None,
        deidentify=parameters.deidentify,
    )
    with take_turns(asked.turn, f"writes to {asked.results}"):
        plan = plan_predictions(asked)
        done = _work(plan) if plan.todo else Predicted([], plan.done, plan.refused)
    if done.planned or done.refused:
        create_markdown_artifact(_markdown(done), key="predict", description="Plans of scans")
    if done.refused and not (done.planned or done.done):
        raise KitsError("expected a plan of a scan, got none: " + "; ".join(done.refused))
    return completed(done, counted(done.refused, "refused"))


def _work(plan: PredictionPlan) -> Predicted:
    reference = learn_range(plan.predictors.model_ids[0])

    def submit(item: ScanToPredict) -> list[PrefectFuture[Any]]:
        segmented: Any = segment_scan.submit(item, plan.predictors, reference)
        return [segmented, plan_segmented_scan.submit(item, plan.predictors, segmented)]

    outcomes = fan_out("predict", plan.todo, submit, workers=_AT_ONCE, name=lambda item: item.scan.name)
    planned = [
        Planned(
            outcome.item.scan.name,
            outcome.item.folder,
            outcome.item.folder / PAGE,
            list(outcome.result.tumors),
            list(outcome.result.remarks),
        )
        for outcome in outcomes
        if not outcome.error
    ]
    failed = [reason.text for reason in reasons(outcomes, lambda item: item.scan.name)]
    return Predicted(planned, plan.done, [*plan.refused, *failed])


def _markdown(done: Predicted) -> str:
    rows = [
        {"scan": link(scan.page, scan.scan), **tumor}
        for scan in done.planned
        for tumor in scan.tumors or [{"tumour": "none found"}]
    ]
    heads = {name: "" for row in rows for name in row}
    parts = ["# Plans", "Research only; not a medical device.", table([heads | row for row in rows])]
    parts.append(listed(f"{scan.scan}: {scan.page}" for scan in done.planned))
    parts.append(listed(f"{scan.scan}: {remark}" for scan in done.planned for remark in scan.remarks))
    if done.refused:
        parts.append(f"## Refused\n\n{listed(done.refused)}")
    if done.done:
        parts.append(f"{len(done.done)} were planned before.")
    return "\n\n".join(part for part in parts if part) + "\n"
