"""Train networks on a split."""

from collections.abc import Sequence
from statistics import mean, stdev

from prefect.artifacts import create_markdown_artifact
from prefect.states import Cancelled

from db.queries.training import history
from flows.artifacts import markdown, overview, picture, table
from flows.parameters import (
    EvaluateParameters,
    PrepareParameters,
    PromoteParameters,
    TrainParameters,
    check_cascade,
)
from flows.prepare import prepare
from flows.stage import stage
from kits_core.recipe.recipe import Recipe
from tasks.cancel import CancelledRunError
from tasks.catalog import catalog
from tasks.events import model_trained
from tasks.models import model_id, recipe_for
from tasks.train import (
    Trained,
    TrainingPlan,
    find_folds,
    find_recipe,
    plan_extension,
    plan_resumption,
    plan_training,
    promote_model,
    train_network,
    trained_before,
)


@stage(TrainParameters)
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


@stage(PromoteParameters)
def promote(parameters: PromoteParameters) -> int:
    """Make a model the champion, which prediction uses unless another one is named; its id."""
    return promote_model(parameters.model)


def _train(parameters: TrainParameters) -> list[Trained]:
    if parameters.resume is not None:
        return [_train_one(plan_resumption(parameters.resume), parameters)]
    if parameters.extend is not None:
        return [_train_one(plan_extension(parameters.extend, parameters.config.epochs), parameters)]
    if parameters.from_model is not None:  # once: to the second fold, the first one's model would be the latest
        parameters = parameters.model_copy(update={"from_model": str(model_id(parameters.from_model))})
    recipe = _recipe(parameters)
    return _each_fold(parameters, recipe) if parameters.all_folds else _train_fold(parameters, recipe)


def _recipe(parameters: TrainParameters) -> Recipe:
    """The recipe of the model to begin with; else the one that is written out, named, or was prepared by."""
    if parameters.from_model is not None:
        return recipe_for(parameters.from_model)
    if parameters.recipe is not None:
        return parameters.recipe
    if parameters.cascade and parameters.prepared is None:
        return Recipe()  # it prepares its cases itself
    recipe = find_recipe(parameters.dataset, parameters.prepared)
    if parameters.cascade:
        check_cascade(recipe)
    return recipe


def _train_fold(parameters: TrainParameters, recipe: Recipe) -> list[Trained]:
    if parameters.cascade:
        return _cascade(parameters, recipe)
    return [_train_one(_plan(parameters, recipe), parameters)]


def _plan(parameters: TrainParameters, recipe: Recipe) -> TrainingPlan:
    return plan_training(parameters.dataset, parameters.split, recipe, parameters.config, parameters.from_model)


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


def _cascade(parameters: TrainParameters, recipe: Recipe) -> list[Trained]:
    """The second network learns on the boxes that the first one finds, as it will be shown them in prediction."""
    prepare(PrepareParameters(dataset=parameters.dataset, recipe=recipe))
    plan = _plan(parameters, recipe)
    first = _train_one(plan, parameters)
    around = recipe.model_copy(update={"frame": "kidneys", "locator": first.sha256})
    # What the first one overlooks is its own mistake: it is stored and shown, and no reason to stop.
    prepare(PrepareParameters(dataset=parameters.dataset, recipe=around, least_tumor_kept=0))
    second = parameters.model_copy(update={"split": plan.split_id})
    return [first, _train_one(_plan(second, around), second)]


def _each_fold(parameters: TrainParameters, recipe: Recipe) -> list[Trained]:
    split_id, folds = find_folds(parameters.dataset, parameters.split)
    of_folds: list[list[Trained]] = []
    for fold in range(folds):
        config = parameters.config.model_copy(update={"fold": fold})
        one = parameters.model_copy(update={"split": split_id, "config": config, "all_folds": False})
        of_folds.append(_train_fold(one, recipe))
    page = f"# {folds} folds of split {split_id}\n\n{_folds_table(of_folds)}\n"
    create_markdown_artifact(page, key="folds", description="A cross-validation")
    return [trained for of_fold in of_folds for trained in of_fold]


def _folds_table(of_folds: Sequence[Sequence[Trained]]) -> str:
    """Validation Dice of each fold's models; mean and standard deviation over the folds, of a cascade's last one."""
    rows = [
        {
            "fold": str(fold),
            "run": str(trained.run_id),
            "model": str(trained.model_id),
            "kidney Dice": f"{trained.kidney_dice:.3f}",
            "tumour Dice": f"{trained.tumor_dice:.3f}",
        }
        for fold, of_fold in enumerate(of_folds)
        for trained in of_fold
    ]
    dice = [(of_fold[-1].kidney_dice, of_fold[-1].tumor_dice) for of_fold in of_folds]
    kidney, tumour = (f"{mean(values):.3f} (SD {stdev(values):.3f})" for values in zip(*dice, strict=True))
    rows.append({"fold": "mean", "run": "", "model": "", "kidney Dice": kidney, "tumour Dice": tumour})
    return table(rows)


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
    return f"# Run {trained.run_id}\n\n{overview(row)}\n\n{left_out}{picture('learning curve', curve)}\n"
