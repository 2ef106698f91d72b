"""All flows, one after the other: from a source to a report."""

from prefect.artifacts import create_markdown_artifact

from flows.artifacts import link, markdown, table
from flows.evaluate import Evaluated, evaluate, narrow_tables
from flows.ingest import ingest
from flows.parameters import (
    EvaluateParameters,
    PipelineParameters,
    PrepareParameters,
    SplitParameters,
    TrainParameters,
)
from flows.prepare import prepare
from flows.split import split
from flows.stage import stage
from flows.train import train


@stage(PipelineParameters)
def pipeline(parameters: PipelineParameters) -> Evaluated:
    """Ingest, prepare, split, train, evaluate. What an earlier run has finished is not done again."""
    ingested = ingest(parameters.of_ingestion())
    dataset = ingested.dataset
    prepared = prepare(PrepareParameters(dataset=dataset, recipe=parameters.recipe))
    made = split(SplitParameters(dataset=dataset, validation=parameters.validation, seed=parameters.split_seed))
    training = TrainParameters(dataset=dataset, split=made.split_id, recipe=parameters.recipe, config=parameters.config)
    (trained,) = train(training)
    evaluated = evaluate(EvaluateParameters(model=str(trained.model_id)))
    stages = [
        {"stage": "ingest", "result": f"{ingested.chosen} cases, {ingested.refused} in quarantine"},
        {"stage": "prepare", "result": f"{prepared.prepared} cases by recipe {prepared.recipe_hash}"},
        {"stage": "split", "result": f"split {made.split_id}: {made.train} + {made.validation} cases"},
        {"stage": "train", "result": f"model {trained.model_id}, validation Dice {trained.score:.3f}"},
        {"stage": "evaluate", "result": link(evaluated.report, f"report of evaluation {evaluated.evaluation_id}")},
    ]
    tables = [table(stages), *map(table, narrow_tables(evaluated.scores))]
    create_markdown_artifact(
        "\n\n".join([f"# {markdown(dataset)}: from source to report", *tables]) + "\n",
        key="pipeline",
        description="What each stage came to",
    )
    return evaluated
