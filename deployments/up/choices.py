"""The forms of trainings list the datasets and the recipes that the catalog has."""

from typing import Any

from prefect import get_client
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.filters import FlowFilter, FlowFilterName

from db.engine import reading_session
from db.queries.ingest import dataset_names
from db.queries.prepare import recipes_with_cases
from db.settings import Settings

_FLOW, _FORM = "train", "TrainParameters"


def renew_choices(settings: Settings) -> None:
    """Let the forms offer what there is now; where there is nothing yet, they take any text."""
    choices = _choices(settings)
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments(flow_filter=FlowFilter(name=FlowFilterName(any_=[_FLOW]))):
            schema = deployment.parameter_openapi_schema or {}
            fields = schema.get("definitions", {}).get(_FORM, {}).get("properties", {})
            if not choices.keys() <= fields.keys():
                continue  # someone's own flow of this name
            if {name: fields[name].get("enum", []) for name in choices} == choices:
                continue
            for name, listed in choices.items():
                _offer(fields[name], listed)
            client.update_deployment(deployment.id, DeploymentUpdate(parameter_openapi_schema=schema))


def _choices(settings: Settings) -> dict[str, list[str]]:
    with reading_session(settings) as session:
        return {
            "dataset": dataset_names(session),
            "prepared": [f"{row.id} · {row.read().name}" for row in recipes_with_cases(session)],
        }


def _offer(field: dict[str, Any], listed: list[str]) -> None:
    field.pop("enum", None)
    if listed:
        field["enum"] = listed
