"""Make network inputs from ingested cases."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from prefect.artifacts import create_markdown_artifact

from db.queries.prepare import prepared_of
from flows.artifacts import markdown, overview, picture, table
from flows.fan_out import fan_out, task_runner
from flows.outcomes import Reason, completed, counted, reasons, section
from flows.parameters import PrepareParameters
from flows.stage import stage
from kits_core.errors import KitsError
from kits_core.labels import KIDNEY, TUMOR
from tasks.catalog import catalog
from tasks.models import recipe_for
from tasks.prepare import (
    PreparationPlan,
    check_room_for_all,
    draw_ceilings,
    plan_preparation,
    prepare_case,
)

_WORST = 10


@dataclass(frozen=True)
class Preparation:
    """What a preparation did. `refused`: cases that the recipe cannot take."""

    dataset: str
    recipe_hash: str
    prepared: int
    made_now: int
    refused: int


@stage(PrepareParameters, task_runner=task_runner())
def prepare(parameters: PrepareParameters) -> Preparation:
    """Prepare what is missing or was made from other files, then check that no tumour was lost.

    A case that the recipe refuses does not stop the others. Any other failure fails the flow at its end, and the next
    run goes on from there.
    """
    recipe = parameters.recipe if parameters.for_model is None else recipe_for(parameters.for_model)
    plan = plan_preparation(parameters.dataset, recipe)
    check_room_for_all(plan, recipe)
    outcomes = fan_out(
        "prepare",
        plan.missing,
        lambda case: [prepare_case.submit(case, recipe, plan.recipe_id, parameters.workers)],
        workers=parameters.workers,
        name=lambda case: case.name,
    )
    found = reasons(outcomes, lambda case: case.name)
    refused = [reason for reason in found if reason.refused]
    failed = [reason for reason in found if not reason.refused]
    facts = _facts(plan)
    done = Preparation(
        dataset=plan.dataset,
        recipe_hash=recipe.hash,
        prepared=len(facts),
        made_now=len(outcomes) - len(found),
        refused=len(refused),
    )
    text = _markdown(plan, parameters, done, facts) + section("Refused", refused) + section("Failed", failed)
    create_markdown_artifact(text, key="prepare", description="What a preparation did")
    _stop_on_problems(plan, parameters, facts, refused, failed)
    return completed(done, counted([reason.text for reason in refused], f"of {plan.ingested} cases refused"))


def _stop_on_problems(
    plan: PreparationPlan,
    parameters: PrepareParameters,
    facts: pd.DataFrame,
    refused: Sequence[Reason],
    failed: Sequence[Reason],
) -> None:
    if failed:
        raise KitsError(
            f"{plan.dataset}: expected network inputs of {plan.ingested} cases, got none of {len(failed)} "
            f"(first: {failed[0].text}); mend these and run prepare again, which goes on from here"
        )
    lost = facts[facts["tumour kept"] < parameters.least_tumor_kept]
    if not lost.empty:
        raise KitsError(
            f"{', '.join(lost['case'])}: expected at least {parameters.least_tumor_kept:.0%} of the tumour inside the "
            f"grid, got {lost['tumour kept'].min():.1%}; choose a recipe with another frame"
        )
    if len(refused) > parameters.allowed_failures * plan.ingested:
        raise KitsError(
            f"{plan.dataset}: expected at most {parameters.allowed_failures:.0%} of {plan.ingested} cases to be "
            f"refused, got {len(refused)} (first: {refused[0].text}); see kits status, mend what it names and run "
            "prepare again"
        )
    if refused and len(refused) == plan.ingested:
        raise KitsError(f"expected some case to be prepared, got none of {plan.ingested} (first: {refused[0].text})")


def _facts(plan: PreparationPlan) -> pd.DataFrame:
    with catalog() as session:
        rows = [
            {
                "case": prepared.case.name,
                "tumour kept": prepared.tumor_kept,
                "seconds": prepared.seconds,
                "peak_bytes": prepared.peak_bytes,
                "ceilings": {(c.region, c.metric): c.value for c in prepared.ceilings},
            }
            for prepared in prepared_of(session, plan.recipe_id).values()
            if prepared.case.dataset_id == plan.dataset_id
        ]
    columns = ["case", "tumour kept", "seconds", "peak_bytes", "ceilings"]
    return pd.DataFrame(rows, columns=columns).astype({"tumour kept": float, "seconds": float, "peak_bytes": float})


def _markdown(plan: PreparationPlan, parameters: PrepareParameters, done: Preparation, facts: pd.DataFrame) -> str:
    recipe, workers = parameters.recipe, parameters.workers
    summary = {
        "cases": done.prepared,
        "made now": done.made_now,
        "refused": done.refused,
        "recipe": f"{done.recipe_hash} ({recipe.frame}, {recipe.shape})",
        "seconds a case, median": f"{facts['seconds'].median():.1f}",
        "peak memory, GB": f"{facts['peak_bytes'].max() / 1e9:.2f}",
    }
    text = f"# Prepared {markdown(done.dataset)}\n\n{overview(summary)}\n"
    measured = facts[facts["ceilings"].map(bool)]
    if not measured.empty:
        text += _ceilings(plan, measured, workers, with_pictures=done.made_now > 0)
    return text


def _ceilings(plan: PreparationPlan, facts: pd.DataFrame, workers: int, *, with_pictures: bool) -> str:
    tumor = facts["ceilings"].map(lambda found: found[TUMOR.name, "dice"])
    worst = facts.assign(tumor=tumor).nsmallest(_WORST, "tumor")
    rows = [
        {
            "case": row["case"],
            "tumour Dice": f"{row['tumor']:.3f}",
            "tumour surface Dice": f"{row['ceilings'][TUMOR.name, 'surface_dice']:.3f}",
            "kidney Dice": f"{row['ceilings'][KIDNEY.name, 'dice']:.3f}",
            "tumour kept": "no tumour" if pd.isna(row["tumour kept"]) else f"{row['tumour kept']:.1%}",
        }
        for _, row in worst.iterrows()
    ]
    text = "\n## Ceilings\n\nWhat a perfect model would score through this recipe, on the original grid.\n\n"
    if not with_pictures:
        return text + table(rows)
    long = [
        {"case": row["case"], "region": region, "metric": metric, "value": value}
        for _, row in facts.iterrows()
        for (region, metric), value in row["ceilings"].items()
    ]
    from kits_core.report.figures import ceiling_distribution  # noqa: PLC0415 - seaborn takes a second

    text += picture("ceilings", ceiling_distribution(pd.DataFrame(long)))
    text += f"\n\n### The lowest\n\n{table(rows)}\n\n"
    captions = {row["case"]: f"{row['case']} · tumour Dice {row['tumor']:.3f}" for _, row in worst.iterrows()}
    return text + picture("lowest ceilings", draw_ceilings(plan, captions, workers))
