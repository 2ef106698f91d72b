"""Every flow run holds a locked file of the home while it runs, so that others can see that it still does.

`FLOW` is what each flow is declared with.
"""

import os
from typing import IO, Any, TypedDict

from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from db.at_work import flow_run_file
from db.settings import current_settings
from kits_core.at_work import AtWork, hold
from kits_core.orphans import end_with_parent
from tasks.cancel import end_as_cancelled

FLOW_RUN, WORKER = "PREFECT__FLOW_RUN_ID", "KITS_WORKER"
"""Variables with a worker run's own id, and with the process id of the `kits up` worker that started it."""

_held: dict[str, IO[str]] = {}
_how_started = ""  # how this process's run was started; its subflow runs have the same


def hold_run(flow: Flow[..., Any], flow_run: FlowRun, _state: State) -> None:
    """A hook (`on_running`): hold the run's file until `let_go`, or the end of this process.

    A worker's run also ends when that worker ends; nothing else would end it.
    """
    global _how_started  # noqa: PLW0603
    key = str(flow_run.id)
    if key in _held:
        return
    if flow_run.parent_task_run_id is None:
        _how_started = _started_by(flow_run)
    said = AtWork.now(flow.name, _how_started)
    _held[key] = hold(flow_run_file(current_settings(), key), said)
    if os.environ.get(FLOW_RUN) == key and (worker := os.environ.get(WORKER)):
        end_with_parent(int(worker))


def let_go(_flow: Flow[..., Any], flow_run: FlowRun, _state: State) -> None:
    """A hook for every end except a crash: remove the run's file. Server and catalog know the end already.

    After a crash the file stays, and the next check corrects the catalog.
    """
    key = str(flow_run.id)
    if key in _held:
        flow_run_file(current_settings(), key).unlink(missing_ok=True)
        _held.pop(key).close()


def _started_by(flow_run: FlowRun) -> str:
    """As `by the automation kits: evaluate what was trained`."""
    if flow_run.deployment_id is None:
        return "from the command line"
    by = flow_run.created_by
    if by is None or not by.display_value:
        return "from the dashboard"
    return f"by the {(by.type or 'user').lower()} {by.display_value}"


class Hooks(TypedDict):
    """Keyword arguments of `prefect.flow`."""

    on_running: list[Any]
    on_completion: list[Any]
    on_failure: list[Any]
    on_cancellation: list[Any]


FLOW = Hooks(
    on_running=[hold_run],
    on_completion=[let_go],
    on_failure=[let_go],
    on_cancellation=[end_as_cancelled, let_go],
)
