"""What `kits up` sets right on its server: runs that nobody is at any more, and late ones that a newer one replaces.

The server itself does neither: it forgets across a restart for whose sign of life its automation was waiting, it waits
for ever for a run whose worker died before it began, and it starts every run that a closed queue has let pile up.
"""

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
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.states import Cancelled, Crashed

from deployments.server import SILENCE_S

HEARTBEAT = "prefect.flow-run.heartbeat"
SILENT = f"No sign of life for {SILENCE_S} s; start it again, it goes on where it was."

_BEGINS_WITHIN = timedelta(seconds=120)
"""A worker that has taken a run starts its process in some ten seconds, on a busy machine in some more."""
_LATE = timedelta(seconds=20)
_BY_SCHEDULE = "auto-scheduled"  # the tag that the server gives a run of a schedule


def end_silent_runs(since: datetime) -> list[str]:
    """Mark runs as crashed that count as running but gave no sign of life since then; their names.

    Ask `SILENCE_S` after the start of a server.
    """
    heard = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]), occurred=EventOccurredFilter(since=since, until=datetime.now(UTC))
    )
    ended = []
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=_in_state(StateType.RUNNING)):
            began_before = run.start_time is not None and run.start_time < since
            resource = EventResourceFilter(id=[f"prefect.flow-run.{run.id}"])
            if began_before and not client.read_events(heard.model_copy(update={"resource": resource}), limit=1).events:
                client.set_flow_run_state(run.id, Crashed(message=SILENT), force=True)
                ended.append(run.name)
    return ended


def end_lost_runs() -> list[str]:
    """Mark deployments' runs as crashed whose worker took them and never began them; their names.

    One that is pending keeps its place in its queue, which for trainings is the only one.
    """
    lost = f"Its worker took it and did not begin within {_BEGINS_WITHIN.seconds} s; start it again."
    before = datetime.now(UTC) - _BEGINS_WITHIN
    with get_client(sync_client=True) as client:
        pending = client.read_flow_runs(flow_run_filter=_in_state(StateType.PENDING, of_deployments=True))
        found = [run for run in pending if run.state is not None and run.state.timestamp < before]
        for run in found:
            client.set_flow_run_state(run.id, Crashed(message=lost), force=True)
    return [run.name for run in found]


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
    late = _in_state(StateType.SCHEDULED, of_deployments=True).model_copy(update={"expected_start_time": due})
    runs = [run for run in client.read_flow_runs(flow_run_filter=late) if _BY_SCHEDULE in run.tags]
    runs.sort(key=lambda run: (str(run.deployment_id), run.expected_start_time or run.created or datetime.now(UTC)))
    for _, group in groupby(runs, key=lambda run: run.deployment_id):
        yield list(group)


def _in_state(state: StateType, *, of_deployments: bool = False) -> FlowRunFilter:
    return FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state])),
        deployment_id=FlowRunFilterDeploymentId(is_null_=False) if of_deployments else None,
    )
