"""Ends flow runs that count as running although their process is gone. Prefect's server does not notice by itself.

Each run holds a locked file of the home while it runs (`tasks.at_work`). The worker that took it holds the file too,
from before the run's process starts (`deployments.worker_process`). A run is called crashed only when both are gone,
however long a busy machine lets it wait.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psutil
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from db.at_work import end_dead_rows, flow_run_file, flow_run_files
from db.settings import Settings
from kits_core.at_work import is_held
from tasks.at_work import FLOW_RUN

GONE = "Its process ended without an error message; start it again, and it goes on where it was."
CANCELLED = "It was cancelled, and its process is gone."

_UNFINISHED = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
_WITHOUT_A_FILE = timedelta(minutes=10)
"""A run gets its file a moment after its state. One killed in that moment has none, nor has one of an older release."""
_OURS = "kits"
"""The tag of every deployment of `prefect.yaml`: their runs have files. Other flows may have none."""


def set_right(settings: Settings, *, alone: bool = False) -> list[str]:
    """End runs that only count as running, on the Prefect server and in the catalog. Returns a line for each.

    `alone`: no other command of the home is running, so that runs of commands are gone even if they have no file.
    Raises what Prefect's client raises, and `KitsError` for a catalog that cannot be reached.
    """
    with get_client(sync_client=True) as client:
        unfinished = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(_UNFINISHED))))
        lines = [
            f"{run.name}: its process is gone, {state.type.value.lower()}"
            for run in client.read_flow_runs(flow_run_filter=unfinished)
            if _is_gone(settings, run, alone=alone) and (state := _end(client, run.id)) is not None
        ]
        left = [path for path in flow_run_files(settings).glob("*.lock") if not is_held(path)]
        if left:
            lines += [
                f"{row}: its process is gone, so the catalog says"
                for row in end_dead_rows(settings, lambda run: _was_cancelled(client, run))
            ]
        for path in left:
            with suppress(ObjectNotFound, ValueError):  # it may belong to another server, which checks its own runs
                state = client.read_flow_run(UUID(path.stem)).state
                if state is not None and state.is_final() and not is_held(path):
                    path.unlink(missing_ok=True)
    return lines


def _is_gone(settings: Settings, run: FlowRun, *, alone: bool) -> bool:
    file = flow_run_file(settings, run.id)
    if not file.is_file():
        is_old = run.state is not None and run.state.timestamp < datetime.now(UTC) - _WITHOUT_A_FILE
        known = is_old and _OURS in run.tags if run.deployment_id is not None else alone
        return known and not _has_a_process(run.id)
    return not is_held(file) and not _has_a_process(run.id)


def _has_a_process(flow_run_id: UUID) -> bool:
    """Whether a process of this machine was started for a run: it may be about to begin after its worker has gone."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(FLOW_RUN) == str(flow_run_id) and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False


def _end(client: SyncPrefectClient, flow_run_id: UUID) -> State | None:
    """The state that a run is given; None for one that has ended by itself since it was read."""
    state = client.read_flow_run(flow_run_id).state
    if state is None or state.type not in _UNFINISHED:
        return None
    end: State = Cancelled(message=CANCELLED) if state.is_cancelling() else Crashed(message=GONE)
    client.set_flow_run_state(flow_run_id, end, force=True)
    return end


def _was_cancelled(client: SyncPrefectClient, flow_run_id: str) -> bool:
    with suppress(ObjectNotFound, ValueError):
        state = client.read_flow_run(UUID(flow_run_id)).state
        return state is not None and (state.is_cancelled() or state.is_cancelling())
    return False
