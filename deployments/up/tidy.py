"""Late runs of a schedule that a newer one replaces: the server would start all that a closed queue let pile up."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled

_LATE = timedelta(seconds=20)
_BY_SCHEDULE = "auto-scheduled"  # the tag that the server gives a run of a schedule


def drop_needless_runs() -> list[str]:
    """Cancel the late scheduled runs of each deployment but the newest; their names."""
    with get_client(sync_client=True) as client:
        dropped = [run for runs in _late_runs(client) for run in runs[:-1]]
        for run in dropped:
            message = "A later run of the same schedule is due too, and does what this one would have done."
            client.set_flow_run_state(run.id, Cancelled(message=message), force=True)
    return [run.name for run in dropped]


def _late_runs(client: SyncPrefectClient) -> Iterator[list[FlowRun]]:
    """The late scheduled runs of each deployment, the newest last."""
    due = FlowRunFilterExpectedStartTime(before_=datetime.now(UTC) - _LATE)
    late = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        expected_start_time=due,
    )
    runs = [run for run in client.read_flow_runs(flow_run_filter=late) if _BY_SCHEDULE in run.tags]
    runs.sort(key=lambda run: (str(run.deployment_id), run.expected_start_time or run.created or datetime.now(UTC)))
    for _, group in groupby(runs, key=lambda run: run.deployment_id):
        yield list(group)
