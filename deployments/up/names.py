"""Runs that wait have the names that they will have: a queue of Prefect's random ones says nothing."""

from datetime import UTC, datetime, timedelta

from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.sorting import FlowRunSort

from flows.names import name_of_run

_AHEAD = timedelta(hours=1)
_WAITING = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.PENDING]))


def name_waiting_runs() -> None:
    """Name the runs of deployments that are due within an hour; each gets the same name once more as it begins."""
    due = FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) + _AHEAD)
    waiting = FlowRunFilter(
        state=_WAITING, deployment_id=FlowRunFilterDeploymentId(is_null_=False), expected_start_time=due
    )
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(flow_run_filter=waiting, sort=FlowRunSort.EXPECTED_START_TIME_ASC)
        flows = {flow.id: flow.name for flow in client.read_flows()} if runs else {}
        for run in runs:
            name = name_of_run(flows.get(run.flow_id, ""), run.parameters)
            if name is not None and name != run.name:
                client.update_flow_run(run.id, name=name)
