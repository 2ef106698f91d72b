"""What people set in the dashboard outlasts the next `prefect deploy`, which would write `prefect.yaml` over it."""

from collections.abc import Iterator
from contextlib import contextmanager

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse


@contextmanager
def keeping_what_was_set() -> Iterator[None]:
    """Deploy in the block; afterwards the parameters and schedules of deployments that were there are as before."""
    with get_client(sync_client=True) as client:
        before = client.read_deployments()
        yield
        after = {deployment.id: deployment for deployment in client.read_deployments()}
        for old in before:
            if old.id in after:
                _put_back(client, old, after[old.id])


def _put_back(client: SyncPrefectClient, old: DeploymentResponse, new: DeploymentResponse) -> None:
    if (old.parameters, old.paused) != (new.parameters, new.paused):
        client.update_deployment(new.id, DeploymentUpdate(parameters=old.parameters, paused=old.paused))
    there = {_key(schedule): schedule for schedule in new.schedules}
    for schedule in old.schedules:
        found = there.get(_key(schedule))
        if found is None:
            client.create_deployment_schedules(new.id, [(schedule.schedule, bool(schedule.active))])
        elif (found.active, found.schedule) != (schedule.active, schedule.schedule):
            client.update_deployment_schedule(new.id, found.id, schedule.active, schedule.schedule)


def _key(schedule: DeploymentSchedule) -> str:
    """By which a schedule is known again: its name in `prefect.yaml`, or its times where a person made it."""
    return schedule.slug or schedule.schedule.model_dump_json()
