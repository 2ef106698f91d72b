"""What people set in the dashboard outlasts the next `prefect deploy`, which would write `prefect.yaml` over it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse

from flows.train_form import to_form

_RENAMED = {"ingest-kits23": "watch-kits23", "predict-inbox": "watch-inbox", "correct-laid": "watch-corrections"}
"""Names of older releases; those of today stand behind all that people start."""


@contextmanager
def keeping_what_was_set() -> Iterator[None]:
    """Deploy in the block; afterwards the parameters and schedules of deployments that were there are as before.

    One that an older release made under another name is replaced by that of today.
    """
    with get_client(sync_client=True) as client:
        before = client.read_deployments()
        yield
        after = client.read_deployments()
        by_id = {deployment.id: deployment for deployment in after}
        by_name = {(deployment.flow_id, deployment.name): deployment for deployment in after}
        for old in before:
            new = by_name.get((old.flow_id, _RENAMED.get(old.name, "")))
            if new is not None:
                _put_back(client, old, new)
                client.delete_deployment(old.id)
            elif old.id in by_id:
                _put_back(client, old, by_id[old.id])


def _put_back(client: SyncPrefectClient, old: DeploymentResponse, new: DeploymentResponse) -> None:
    parameters = _as_the_form_shows(old.parameters, new)
    if (parameters, old.paused) != (new.parameters, new.paused):
        client.update_deployment(new.id, DeploymentUpdate(parameters=parameters, paused=old.paused))
    there = {_key(schedule): schedule for schedule in new.schedules}
    for schedule in old.schedules:
        own = _as_the_form_shows(schedule.parameters, new)
        found = there.get(_key(schedule))
        if found is None:
            made = client.create_deployment_schedules(new.id, [(schedule.schedule, bool(schedule.active))])
            found = made[0]
        if (found.active, found.schedule, found.parameters) != (schedule.active, schedule.schedule, own):
            client.update_deployment_schedule(new.id, found.id, schedule.active, schedule.schedule, parameters=own)


def _as_the_form_shows(parameters: dict[str, Any], deployment: DeploymentResponse) -> dict[str, Any]:
    """Parameters as today's form has them: it knows no null, and a training's settings lie elsewhere than before."""
    stored = parameters.get("parameters")
    if not isinstance(stored, dict):
        return parameters
    kept = _without_null(stored)
    definitions = (deployment.parameter_openapi_schema or {}).get("definitions", {})
    if "TrainParameters" in definitions and "__prefect_kind" not in kept.get("config", {}):  # a template of Prefect's
        kept = to_form(kept)
    return parameters | {"parameters": kept}


def _without_null(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_null(part) for name, part in value.items() if part is not None}


def _key(schedule: DeploymentSchedule) -> str:
    """By which a schedule is known again: its name in `prefect.yaml`, or its times where a person made it."""
    return schedule.slug or schedule.schedule.model_dump_json()
