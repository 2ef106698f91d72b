"""The names of runs, made of what was asked for: given by a flow as it begins, and by `kits up` while a run waits."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from flows.parameters import (
    CorrectParameters,
    EvaluateParameters,
    IngestParameters,
    LaidParameters,
    PipelineParameters,
    PredictParameters,
    PrepareParameters,
    PromoteParameters,
    SplitParameters,
    TrainParameters,
)
from kits_core.errors import KitsError

_FLOWS: dict[str, tuple[type[BaseModel], str]] = {
    "ingest": (IngestParameters, "ingest · {parameters.shown_source}"),
    "correct": (CorrectParameters, "correct · {parameters.shown_what}"),
    "correct-laid": (LaidParameters, "correct · what lies in corrections"),
    "prepare": (PrepareParameters, "prepare · {parameters.in_words}"),
    "split": (SplitParameters, "split · seed {parameters.seed}"),
    "train": (TrainParameters, "train · {parameters.in_words}"),
    "promote": (PromoteParameters, "promote · model {parameters.model}"),
    "evaluate": (EvaluateParameters, "evaluate · model {parameters.model} · {parameters.subset}"),
    "predict": (PredictParameters, "predict · model {parameters.model}"),
    "pipeline": (PipelineParameters, "pipeline · {parameters.shown_source}"),
}
NAMES = {flow: name for flow, (_, name) in _FLOWS.items()}
"""By flow, as Prefect formats them."""


def name_of_run(flow: str, stored: Mapping[str, Any]) -> str | None:
    """The name that a run of a flow will have, by its stored parameters; None where these are no parameters of it."""
    if flow not in _FLOWS:
        return None
    model, name = _FLOWS[flow]
    try:
        return name.format(parameters=model.model_validate(stored.get("parameters", {})))
    except (ValidationError, KitsError):
        return None  # the run itself says why
