"""Train a network on a split."""

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from db.queries.training import history
from flows.artifacts import picture, table
from flows.parameters import TrainParameters
from kits_core.report.figures import learning_curve
from tasks.catalog import catalog
from tasks.train import Trained, TrainingPlan, plan_training, train_network, trained_before


@flow(
    name="train",
    flow_run_name="train · {parameters.recipe.frame} {parameters.recipe.shape} · seed {parameters.config.seed}",
)
def train(parameters: TrainParameters) -> Trained:
    """Open or take up the run, train it to its end, and propose its best checkpoint as champion."""
    plan = plan_training(parameters.dataset, parameters.split, parameters.recipe, parameters.config)
    trained = trained_before(plan.run_id) if plan.finished else train_network(plan.run_id)
    create_markdown_artifact(_markdown(plan, trained), key="train", description="A training and its model")
    return trained


def _markdown(plan: TrainingPlan, trained: Trained) -> str:
    with catalog() as session:
        curve = learning_curve(history(session, plan.run_id))
    row = {
        "run": trained.run_id,
        "model": trained.model_id,
        "best epoch": trained.epoch,
        "validation Dice": f"{trained.score:.3f}",
        "cases": f"{plan.train} + {plan.validation}",
        "champion": "yes" if trained.champion else "no",
    }
    return f"# Run {trained.run_id}\n\n{table([row])}\n\n{picture('learning curve', curve)}\n"
