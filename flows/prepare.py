"""Make network inputs of ingested cases."""

from dataclasses import dataclass

import pandas as pd
from prefect import flow
from prefect.artifacts import create_markdown_artifact

from db.queries.prepare import prepared_of
from flows.artifacts import table
from flows.fan_out import fan_out, task_runner
from flows.parameters import PrepareParameters
from kits_core.errors import KitsError
from tasks.catalog import catalog
from tasks.prepare import Plan, plan_preparation, prepare_case


@dataclass(frozen=True)
class Preparation:
    """What a preparation did."""

    dataset: str
    recipe_hash: str
    prepared: int
    made_now: int
    refused: int


@flow(
    name="prepare",
    flow_run_name="prepare · {parameters.recipe.frame} {parameters.recipe.shape}",
    task_runner=task_runner(),
)
def prepare(parameters: PrepareParameters) -> Preparation:
    """Prepare what is missing or was made from other files, then check that no tumour was lost."""
    recipe = parameters.recipe
    plan = plan_preparation(parameters.dataset, recipe)
    outcomes = fan_out(
        "prepare",
        plan.missing,
        lambda case: [prepare_case.submit(case, recipe, plan.recipe_id)],
        workers=parameters.workers,
        name=lambda case: case.name,
    )
    refused = [(outcome.item.name, str(outcome.error)) for outcome in outcomes if outcome.error]
    facts = _facts(plan)
    done = Preparation(plan.dataset, recipe.hash, len(facts), len(outcomes) - len(refused), len(refused))
    create_markdown_artifact(_markdown(done, facts, refused), key="prepare", description="What a preparation did")
    lost = facts[facts["tumour kept"] < parameters.least_tumor_kept]
    if not lost.empty:
        raise KitsError(
            f"{', '.join(lost['case'])}: expected at least {parameters.least_tumor_kept:.0%} of the tumour inside the "
            f"grid, got {lost['tumour kept'].min():.1%}; choose a recipe with another frame"
        )
    if refused and len(refused) == plan.ingested:
        raise KitsError(f"expected some case to be prepared, got none of {plan.ingested} (first: {refused[0][1]})")
    return done


def _facts(plan: Plan) -> pd.DataFrame:
    with catalog() as session:
        rows = [
            {
                "case": prepared.case.name,
                "tumour kept": prepared.tumor_kept,
                "seconds": prepared.seconds,
                **{f"ceiling {c.region}": c.value for c in prepared.ceilings if c.metric == "dice"},
            }
            for prepared in prepared_of(session, plan.recipe_id).values()
            if prepared.case.dataset_id == plan.dataset_id
        ]
    return pd.DataFrame(rows, columns=None if rows else ["case", "tumour kept", "seconds"]).astype(
        {"tumour kept": float}
    )


def _markdown(done: Preparation, facts: pd.DataFrame, refused: list[tuple[str, str]]) -> str:
    rows = [{"cases": done.prepared, "made now": done.made_now, "refused": done.refused, "recipe": done.recipe_hash}]
    text = f"# Prepared {done.dataset}\n\n{table(rows)}\n"
    if "ceiling tumor" in facts:
        worst = facts.nsmallest(10, "ceiling tumor")
        text += (
            "\n## Lowest ceilings\n\nWhat a perfect model would score through this recipe, on the original grid.\n\n"
        )
        text += table(
            [
                {
                    "case": row["case"],
                    "tumour Dice": f"{row['ceiling tumor']:.3f}",
                    "kidney Dice": f"{row['ceiling kidney']:.3f}",
                    "tumour kept": f"{row['tumour kept']:.1%}",
                }
                for _, row in worst.iterrows()
            ]
        )
    if refused:
        text += f"\n\n## Refused\n\n{table([{'case': name, 'reason': reason} for name, reason in refused])}\n"
    return text
