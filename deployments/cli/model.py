"""`kits train`, `kits evaluate`, `kits report`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli.app import AsJson, CystTo, Dataset, Frame, Seed, Shape, Spacing, app
from deployments.cli.data import given
from deployments.cli.output import err, out, print_json, show_result, show_scores


@app.command()
def train(
    epochs: Annotated[int | None, typer.Option(help="Passes over the training cases.", show_default="50")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Cases per step.", show_default="8")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Adam's step size.", show_default="1e-4")] = None,
    final_learning_rate: Annotated[
        float | None, typer.Option(help="Fall to this along a half cosine.", show_default="constant")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Epochs without gain before it stops.", show_default="40")
    ] = None,
    filters: Annotated[int | None, typer.Option(help="Channels of the stem.", show_default="64")] = None,
    miss_weight: Annotated[
        float | None, typer.Option(help="Focal Tversky: weight of a missed voxel.", show_default="0.7")
    ] = None,
    false_alarm_weight: Annotated[
        float | None, typer.Option(help="Focal Tversky: weight of a voxel wrongly found.", show_default="0.3")
    ] = None,
    seed: Seed = None,
    frame: Frame = None,
    shape: Shape = None,
    spacing: Spacing = None,
    cyst_to: CystTo = None,
    split: Annotated[int | None, typer.Option(help="Id of the split.", show_default="the newest")] = None,
    dataset: Dataset = None,
    as_json: AsJson = False,
) -> None:
    """Train the 3-D U-Net on prepared cases. Stopped or killed, the same command goes on where it was.

    Example: `kits train --shape 64 --epochs 50 --batch-size 2`
    """
    from db.settings import Settings
    from deployments.running import run_flow

    def call() -> Any:
        from flows.parameters import TrainParameters
        from flows.train import train as flow
        from kits_core.network.config import TrainingConfig
        from kits_core.recipe import Recipe

        config = TrainingConfig(
            **given(
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                final_learning_rate=final_learning_rate,
                patience=patience,
                filters=filters,
                miss_weight=miss_weight,
                false_alarm_weight=false_alarm_weight,
                seed=seed,
            )
        )
        recipe = Recipe(**given(frame=frame, shape=shape, spacing_mm=spacing, cyst_to=cyst_to))
        return flow(TrainParameters(recipe=recipe, config=config, **given(split=split, dataset=dataset)))

    trained = run_flow(call, "flows.train", Settings(), err)
    champion = ", the champion now" if trained.champion else ""
    text = (
        f"model {trained.model_id} (run {trained.run_id}, epoch {trained.epoch}): validation Dice {trained.score:.3f}"
    )
    show_result(trained, as_json=as_json, text=text + champion)


@app.command()
def evaluate(
    model: Annotated[
        str | None, typer.Option(help="champion, latest, or a model's id.", show_default="champion")
    ] = None,
    subset: Annotated[str | None, typer.Option(help="validation or train.", show_default="validation")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a model on the scans' original grids and write a report.

    Example: `kits evaluate --model latest`
    """
    from db.settings import Settings
    from deployments.running import run_flow

    def call() -> Any:
        from flows.evaluate import evaluate as flow
        from flows.parameters import EvaluateParameters

        return flow(EvaluateParameters(**given(model=model, subset=subset)))

    done = run_flow(call, "flows.evaluate", Settings(), err)
    if as_json:
        show_result(done, as_json=True, text="")
        return
    show_scores(done.scores, f"Evaluation {done.evaluation_id}: model {done.model_id}")
    out.print(f"report: {done.report}", soft_wrap=True, highlight=False)


@app.command()
def report(
    evaluation: Annotated[int | None, typer.Argument(help="Id of the evaluation.", show_default="the newest")] = None,
    as_json: AsJson = False,
) -> None:
    """Say where an evaluation's report is; build it again if it is gone.

    Example: `kits report 3`
    """
    path = _report_path(evaluation)
    if as_json:
        print_json({"report": path})
    else:
        out.print(path, soft_wrap=True, highlight=False)


def _report_path(evaluation: int | None) -> Path:
    from db.engine import catalog_session
    from db.models import RunStatus
    from db.queries.evaluation import find_evaluation
    from db.settings import Settings
    from deployments.running import run_flow
    from kits_core.errors import KitsError

    settings = Settings()
    with catalog_session(settings) as session:
        row = find_evaluation(session, evaluation)
        if row.status is not RunStatus.COMPLETED or row.report_path is None:
            raise KitsError(f"evaluation {row.id}: expected it to be completed, got {row.status}; run kits evaluate")
        path, model, subset = settings.absolute(row.report_path), row.model_id, row.subset.value
    if path.is_file():
        return path

    def call() -> Any:
        from flows.evaluate import evaluate as flow
        from flows.parameters import EvaluateParameters

        return flow(EvaluateParameters(model=str(model), subset=subset))

    built: Path = run_flow(call, "flows.evaluate", settings, err).report
    return built
