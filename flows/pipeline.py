"""All flows, one after the other: from a source to a report."""

from prefect import flow

from flows.evaluate import Evaluated, evaluate
from flows.ingest import ingest
from flows.parameters import (
    EvaluateParameters,
    IngestParameters,
    PipelineParameters,
    PrepareParameters,
    SplitParameters,
    TrainParameters,
)
from flows.prepare import prepare
from flows.split import split
from flows.train import train


@flow(name="pipeline", flow_run_name="pipeline · {parameters.source}")
def pipeline(parameters: PipelineParameters) -> Evaluated:
    """Ingest, prepare, split, train, evaluate. What an earlier run has finished is not done again."""
    ingested = ingest(IngestParameters(source=parameters.source, dataset=parameters.dataset, cases=parameters.cases))
    dataset = ingested.dataset
    prepare(PrepareParameters(dataset=dataset, recipe=parameters.recipe))
    made = split(SplitParameters(dataset=dataset, validation=parameters.validation, seed=parameters.split_seed))
    trained = train(
        TrainParameters(dataset=dataset, split=made.split_id, recipe=parameters.recipe, config=parameters.config)
    )
    return evaluate(EvaluateParameters(model=str(trained.model_id)))
