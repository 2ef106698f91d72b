"""Train networks on a split."""

from prefect import flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.states import Cancelled

from db.queries.training import history
from flows.artifacts import markdown, picture, table
from flows.parameters import EvaluateParameters, PrepareParameters, PromoteParameters, TrainParameters
from flows.prepare import prepare
from tasks.at_work import FLOW
from tasks.cancel import CancelledRunError
from tasks.catalog import catalog
from tasks.events import model_trained
from tasks.train import (
    Trained,
    TrainingPlan,
    find_folds,
    plan_extension,
    plan_resumption,
    plan_training,
    promote_model,
    train_network,
    trained_before,
)


def _name_of_run() -> str:
    """As `train · kidneys 128 · split 3 · fold 1 · seed 23`."""
    asked = TrainParameters.model_validate(runtime.flow_run.parameters["parameters"])
    if asked.resume is not None:
        return f"train · run {asked.resume} goes on"
    if asked.extend is not None:
        return f"train · run {asked.extend} · {asked.config.epochs} epochs"
    grid = f"{'cascade' if asked.cascade else asked.recipe.frame} {asked.recipe.shape}"
    fold = "all folds" if asked.all_folds else None if asked.config.fold is None else f"fold {asked.config.fold}"
    parts = [
        "train",
        grid if asked.from_model is None else f"from model {asked.from_model}",
        f"split {asked.split}" if asked.split is not None else "newest split",
        *([fold] if fold else []),
        f"seed {asked.config.seed}",
    ]
    return " · ".join(parts)


@flow(name="train", flow_run_name=_name_of_run, **FLOW)
def train(parameters: TrainParameters) -> list[Trained]:
    """Train what the parameters ask for: one network, the two of a cascade, or either for every fold; in that order.

    Each run is opened or taken up, trained to its end and its best checkpoint registered; then each model is evaluated,
    where that is asked for. A cancelled run ends as cancelled; the same call goes on with it.
    """
    try:
        trained = _train(parameters)
    except CancelledRunError as error:
        return Cancelled(message=str(error))  # type: ignore[return-value]  # a state is a result to Prefect
    if parameters.evaluate:
        from flows.evaluate import evaluate  # noqa: PLC0415 - two seconds

        for model in trained:
            evaluate(EvaluateParameters(model=str(model.model_id)))
    return trained


@flow(name="promote", flow_run_name="promote · model {parameters.model}", **FLOW)
def promote(parameters: PromoteParameters) -> int:
    """Make a model the champion, which prediction uses unless told otherwise; its id."""
    return promote_model(parameters.model)


def _train(parameters: TrainParameters) -> list[Trained]:
    if parameters.resume is not None:
        return [_train_one(plan_resumption(parameters.resume), parameters)]
    if parameters.extend is not None:
        return [_train_one(plan_extension(parameters.extend, parameters.config.epochs), parameters)]
    if parameters.all_folds:
        return _each_fold(parameters)
    return _cascade(parameters) if parameters.cascade else [_train_one(_plan(parameters), parameters)]


def _plan(parameters: TrainParameters) -> TrainingPlan:
    recipe, config = parameters.recipe, parameters.config
    return plan_training(parameters.dataset, parameters.split, recipe, config, parameters.from_model)


def _train_one(plan: TrainingPlan, parameters: TrainParameters) -> Trained:
    trained = (
        trained_before(plan.run_id)
        if plan.finished
        else train_network(plan.run_id, parameters.champion_dice, plan.extends)
    )
    create_markdown_artifact(_markdown(plan, trained), key="train", description="A training and its model")
    if not plan.finished:
        model_trained(trained.model_id, run_id=trained.run_id, score=trained.score, evaluated=parameters.evaluate)
    return trained


def _cascade(parameters: TrainParameters) -> list[Trained]:
    """The second network learns on the boxes that the first one finds, as it will be shown them in prediction."""
    prepare(PrepareParameters(dataset=parameters.dataset, recipe=parameters.recipe))
    plan = _plan(parameters)
    first = _train_one(plan, parameters)
    around = parameters.recipe.model_copy(update={"frame": "kidneys", "locator": first.sha256})
    # What the first one overlooks is its own mistake: it is stored and shown, and no reason to stop.
    prepare(PrepareParameters(dataset=parameters.dataset, recipe=around, least_tumor_kept=0))
    second = parameters.model_copy(update={"recipe": around, "split": plan.split_id})
    return [first, _train_one(_plan(second), second)]


def _each_fold(parameters: TrainParameters) -> list[Trained]:
    split_id, folds = find_folds(parameters.dataset, parameters.split)
    trained: list[Trained] = []
    for fold in range(folds):
        config = parameters.config.model_copy(update={"fold": fold})
        one = parameters.model_copy(update={"split": split_id, "config": config, "all_folds": False})
        trained += _cascade(one) if one.cascade else [_train_one(_plan(one), one)]
    rows = [{"run": t.run_id, "model": t.model_id, "validation Dice": f"{t.score:.3f}"} for t in trained]
    create_markdown_artifact(
        f"# {folds} folds of split {split_id}\n\n{table(rows)}\n", key="folds", description="A cross-validation"
    )
    return trained


def _markdown(plan: TrainingPlan, trained: Trained) -> str:
    from kits_core.report.figures import learning_curve  # noqa: PLC0415 - seaborn takes a second

    with catalog() as session:
        curve = learning_curve(history(session, plan.run_id))
    row = {
        "run": trained.run_id,
        "model": trained.model_id,
        "best epoch": trained.epoch,
        "validation Dice": f"{trained.score:.3f}",
        "cases": f"{plan.train} + {plan.validation}",
        "as a champion": trained.standing or "no; kits promote makes it one",
    }
    left_out = (
        f"Left out, as the recipe refuses them: {markdown(', '.join(plan.left_out))}\n\n" if plan.left_out else ""
    )
    return f"# Run {trained.run_id}\n\n{table([row])}\n\n{left_out}{picture('learning curve', curve)}\n"
