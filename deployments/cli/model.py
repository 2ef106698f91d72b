"""`kits train`, `kits promote`, `kits evaluate`, `kits report`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli.app import AsJson, CystTo, Dataset, Frame, Seed, Shape, Spacing, app
from deployments.cli.catalog import warn_of_stale
from deployments.cli.data import given
from deployments.cli.output import err, out, print_json, say, show_result, show_scores

_DRAWN_AT_ONCE = 2
_STEPS, _NETWORK, _LOSS, _MACHINE, _DATA = "Steps", "Network", "Loss", "Machine", "Data"


@app.command()
def train(
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training cases.", show_default="50", rich_help_panel=_STEPS)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Cases per step.", show_default="8", rich_help_panel=_STEPS)
    ] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(
            help="Cases in memory at once; gradients add up (see --normalisation).",
            show_default="the batch",
            rich_help_panel=_STEPS,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Adam's step size at the start.", show_default="1e-4", rich_help_panel=_STEPS)
    ] = None,
    final_learning_rate: Annotated[
        float | None,
        typer.Option(help="Fall to this along a half cosine.", show_default="constant", rich_help_panel=_STEPS),
    ] = None,
    decay_epochs: Annotated[
        int | None,
        typer.Option(help="Epochs at the end in which it falls.", show_default="all", rich_help_panel=_STEPS),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Epochs without gain before it stops.", show_default="40", rich_help_panel=_STEPS),
    ] = None,
    selection_cases: Annotated[
        int | None,
        typer.Option(help="Validation cases that choose the best epoch.", show_default="all", rich_help_panel=_STEPS),
    ] = None,
    seed: Seed = None,
    filters: Annotated[
        int | None, typer.Option(help="Channels of the stem.", show_default="64", rich_help_panel=_NETWORK)
    ] = None,
    normalisation: Annotated[
        str | None,
        typer.Option(
            help="batch, group or instance; with --micro-batch the latter two see what the whole batch would.",
            show_default="batch",
            rich_help_panel=_NETWORK,
        ),
    ] = None,
    deep_supervision: Annotated[
        bool | None,
        typer.Option("--deep-supervision", help="Coarser levels learn too.", rich_help_panel=_NETWORK),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="focal_tversky or dice_cross_entropy.", show_default="focal_tversky", rich_help_panel=_LOSS),
    ] = None,
    miss_weight: Annotated[
        float | None,
        typer.Option(help="Focal Tversky: weight of a missed voxel.", show_default="0.7", rich_help_panel=_LOSS),
    ] = None,
    false_alarm_weight: Annotated[
        float | None,
        typer.Option(help="Focal Tversky: weight of a voxel wrongly found.", show_default="0.3", rich_help_panel=_LOSS),
    ] = None,
    focus: Annotated[
        float | None,
        typer.Option(help="Focal Tversky: exponent.", show_default="0.75", rich_help_panel=_LOSS),
    ] = None,
    loss_background: Annotated[
        bool | None,
        typer.Option("--loss-background", help="The loss counts the background too.", rich_help_panel=_LOSS),
    ] = None,
    loss_per: Annotated[
        str | None,
        typer.Option(help="What it counts together: sample or batch.", show_default="sample", rich_help_panel=_LOSS),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu or gpu.", show_default="auto", rich_help_panel=_MACHINE)
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="auto, float32, bfloat16 or float16.", show_default="auto", rich_help_panel=_MACHINE),
    ] = None,
    frame: Frame = None,
    shape: Shape = None,
    spacing: Spacing = None,
    cyst_to: CystTo = None,
    dataset: Dataset = None,
    split: Annotated[
        int | None, typer.Option(help="Id of the split.", show_default="the newest", rich_help_panel=_DATA)
    ] = None,
    fold: Annotated[
        str | None,
        typer.Option("--fold", "--folds", help="Fold of the split to hold out, from 0, or all.", rich_help_panel=_DATA),
    ] = None,
    cascade: Annotated[
        bool | None,
        typer.Option("--cascade", help="Two networks: whole scan, then the kidneys it finds."),
    ] = None,
    evaluate_it: Annotated[
        bool | None, typer.Option("--evaluate", help="Score the model on original grids afterwards.")
    ] = None,
    champion_dice: Annotated[
        float | None,
        typer.Option(help="Dice of kidney and tumour from which a first model is the champion.", show_default="0.1"),
    ] = None,
    resume: Annotated[int | None, typer.Option(help="Id of a run to go on with, by its own settings.")] = None,
    extend: Annotated[
        int | None, typer.Option(help="Id of a run to go on from, to more --epochs, by its own settings.")
    ] = None,
    from_model: Annotated[
        str | None,
        typer.Option(
            "--from", help="champion, latest, or a model's id: begin with its weights.", show_default="random weights"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the 3-D U-Net on prepared cases. Stopped or killed, the same command goes on where it was.

    Example: `kits train --shape 64 --epochs 50 --batch-size 2`
    """
    from deployments.running import run_flow
    from flows.parameters import TrainParameters
    from kits_core.network.config import NETWORK_SETTINGS, TrainingConfig
    from kits_core.recipe import Recipe

    settings_of_run = given(
        epochs=epochs,
        batch_size=batch_size,
        micro_batch=micro_batch,
        learning_rate=learning_rate,
        final_learning_rate=final_learning_rate,
        decay_epochs=decay_epochs,
        patience=patience,
        selection_cases=selection_cases,
        seed=seed,
        filters=filters,
        normalisation=normalisation,
        deep_supervision=deep_supervision,
        loss=loss,
        miss_weight=miss_weight,
        false_alarm_weight=false_alarm_weight,
        focus=focus,
        loss_background=loss_background,
        loss_per=loss_per,
        device=device,
        precision=precision,
        fold=None if fold == "all" else fold,
    )
    settings_of_recipe = given(frame=frame, shape=shape, spacing_mm=spacing, cyst_to=cyst_to)
    if resume is not None and (settings_of_run or settings_of_recipe or split or dataset or cascade or fold):
        raise typer.BadParameter("a run goes on by its own settings: give --resume alone, or with --evaluate")
    if extend is not None and (set(settings_of_run) != {"epochs"} or settings_of_recipe or split or dataset or cascade):
        raise typer.BadParameter("a run is extended by its own settings: give --extend with --epochs, and --evaluate")
    if from_model is not None and (settings_of_recipe or set(settings_of_run) & set(NETWORK_SETTINGS)):
        raise typer.BadParameter("--from takes recipe and network from the model: leave out their options")

    others = given(
        split=split,
        dataset=dataset,
        cascade=cascade,
        all_folds=fold == "all" or None,
        evaluate=evaluate_it,
        champion_dice=champion_dice,
        resume=resume,
        extend=extend,
        from_model=from_model,
    )
    config, recipe = TrainingConfig(**settings_of_run), Recipe(**settings_of_recipe)
    trained = run_flow("flows.train:train", TrainParameters(recipe=recipe, config=config, **others), err)
    if as_json:
        print_json([asdict(model) for model in trained])
        return
    for model in trained:
        text = f"model {model.model_id} (run {model.run_id}, epoch {model.epoch}): validation Dice {model.score:.3f}"
        text += f" (kidney {model.kidney_dice:.3f}, tumour {model.tumor_dice:.3f})"
        if model.standing:
            text += f", {model.standing}"
        out.print(text, highlight=False)


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="latest, or a model's id.")],
    as_json: AsJson = False,
) -> None:
    """Make a model the champion: the one that evaluation and prediction use unless told otherwise.

    Example: `kits promote 3`
    """
    from deployments.running import run_flow
    from flows.parameters import PromoteParameters

    promoted = run_flow("flows.train:promote", PromoteParameters(model=model), err)
    show_result({"model_id": promoted}, as_json=as_json, text=f"model {promoted} is the champion")


@app.command()
def evaluate(
    model: Annotated[
        str | None, typer.Option(help="champion, latest, or a model's id.", show_default="champion")
    ] = None,
    subset: Annotated[str | None, typer.Option(help="validation or train.", show_default="validation")] = None,
    flips: Annotated[
        bool | None, typer.Option("--flips", help="Average the predictions of each scan and of its mirror image.")
    ] = None,
    split: Annotated[
        int | None, typer.Option(help="Id of a split to score, for an imported model.", show_default="the model's own")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Cases scored at once.", show_default="2")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a model on the scans' original grids and write a report.

    Example: `kits evaluate --model latest`
    """
    from deployments.running import run_flow
    from flows.parameters import EvaluateParameters

    parameters = EvaluateParameters(**given(model=model, subset=subset, flips=flips, split=split, workers=workers))
    done = run_flow("flows.evaluate:evaluate", parameters, err)
    if as_json:
        show_result(done, as_json=True, text="")
        return
    show_scores(done.scores, f"Evaluation {done.evaluation_id}: model {done.model_id}")
    warn_of_stale(done.evaluation_id)
    if done.missing:
        say(f"counted as zero, for want of a prediction (kits status tells why): {', '.join(done.missing)}")
    say(f"report: {done.report}")


@app.command()
def report(
    evaluation: Annotated[int | None, typer.Argument(help="Id of the evaluation.", show_default="the newest")] = None,
    figures: Annotated[
        Path | None,
        typer.Option(
            help="Write every figure for a paper to this new folder: PDF and SVG, 85 and 180 mm wide.",
            show_default="none",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say where an evaluation's report is; build it again if it is gone.

    Example: `kits report 3 --figures ./figures`
    """
    number, path = _report_path(evaluation)
    warn_of_stale(number)
    written = None
    if figures is not None:
        from tasks.report_figures import write_figures

        written = write_figures(number, figures, _DRAWN_AT_ONCE)
    if as_json:
        print_json({"report": path, "figures": None if written is None else written.folder})
        return
    out.print(path, soft_wrap=True, highlight=False)
    if written is not None:
        say(f"{written.figures} figures, each as PDF and SVG of two widths, in {written.folder}")


def _report_path(evaluation: int | None) -> tuple[int, Path]:
    from db.engine import catalog_session
    from db.models import RunStatus
    from db.queries.evaluation import find_evaluation
    from db.settings import Settings
    from deployments.running import run_flow
    from flows.parameters import EvaluateParameters
    from kits_core.errors import KitsError

    settings = Settings()
    with catalog_session(settings) as session:
        row = find_evaluation(session, evaluation)
        if row.status is not RunStatus.COMPLETED or row.report_path is None:
            raise KitsError(f"evaluation {row.id}: expected it to be completed, got {row.status}; run kits evaluate")
        number, path = row.id, settings.absolute(row.report_path)
        again: Any = {"model": str(row.model_id), "subset": row.subset.value, "flips": row.flips}
        if row.model.run.imported is not None:
            again["split"] = row.split_id
    if path.is_file():
        return number, path

    built: Path = run_flow("flows.evaluate:evaluate", EvaluateParameters(**again), err).report
    return number, built
