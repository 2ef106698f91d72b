"""`kits train`, `kits promote`, `kits evaluate`, `kits report`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.cli.app import AsJson, app
from deployments.cli.catalog import warn_of_stale
from deployments.cli.options import Fields, Given, of, options_of
from deployments.cli.output import err, out, print_json, say, show_result, show_scores

_DRAWN_AT_ONCE = 2


@app.command()
@options_of(
    Fields(
        "kits_core.network.config:TrainingConfig", ("fold", "begins_with"), panels="kits_core.network.config:SECTION_OF"
    ),
    Fields("kits_core.recipe.recipe:Recipe", ("locator",), panel="Recipe"),
    Fields("flows.parameters:TrainParameters", ("prepared", "recipe", "config", "all_folds")),
)
def train(
    given: Given,
    fold: Annotated[
        str | None, typer.Option("--fold", "--folds", help="Fold of the split to hold out, from 0, or all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the 3-D U-Net on prepared cases. Stopped or killed, the same command goes on where it was.

    Example: `kits train --shape 64 --epochs 50 --batch-size 2`
    """
    from deployments.running import run_flow
    from flows.parameters import TrainParameters
    from kits_core.network.config import TrainingConfig
    from kits_core.recipe import Recipe

    config, recipe, others = of(TrainingConfig, given), of(Recipe, given), of(TrainParameters, given)
    if fold == "all":
        others["all_folds"] = True
    elif fold is not None:
        config["fold"] = fold
    _check_taken_up(config, recipe, others)
    parameters = TrainParameters(
        config=TrainingConfig(**config), **others, **({"recipe": Recipe(**recipe)} if recipe else {})
    )
    trained = run_flow("flows.train:train", parameters, err)
    if as_json:
        print_json([asdict(model) for model in trained])
        return
    for model in trained:
        text = f"model {model.model_id} (run {model.run_id}, epoch {model.epoch}): validation Dice {model.score:.3f}"
        text += f" (kidney {model.kidney_dice:.3f}, tumour {model.tumor_dice:.3f})"
        if model.standing:
            text += f", {model.standing}"
        out.print(text, highlight=False)


def _check_taken_up(config: Given, recipe: Given, others: Given) -> None:
    """Refuse settings beside a run, or a model, that has its own."""
    from kits_core.network.config import NETWORK_SETTINGS

    place = others.keys() & {"split", "dataset", "cascade", "all_folds", "preset"}
    if "resume" in others and (config or recipe or place):
        raise typer.BadParameter("a run goes on by its own settings: give --resume alone, or with --evaluate")
    if "extend" in others and (config.keys() != {"epochs"} or recipe or place):
        raise typer.BadParameter("a run is extended by its own settings: give --extend with --epochs, and --evaluate")
    if "from_model" in others and (recipe or config.keys() & set(NETWORK_SETTINGS)):
        raise typer.BadParameter("--from takes recipe and network from the model: leave out their options")


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="latest, or a model's id.")],
    as_json: AsJson = False,
) -> None:
    """Make a model the champion: the one that evaluation and prediction use unless another one is named.

    Example: `kits promote 3`
    """
    from deployments.running import run_flow
    from flows.parameters import PromoteParameters

    promoted = run_flow("flows.train:promote", PromoteParameters(model=model), err)
    show_result({"model_id": promoted}, as_json=as_json, text=f"model {promoted} is the champion")


@app.command()
@options_of(Fields("flows.parameters:EvaluateParameters"))
def evaluate(given: Given, as_json: AsJson = False) -> None:
    """Score a model on the scans' original grids and write a report.

    Example: `kits evaluate --model latest`
    """
    from deployments.running import run_flow
    from flows.parameters import EvaluateParameters

    done = run_flow("flows.evaluate:evaluate", EvaluateParameters(**given), err)
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
