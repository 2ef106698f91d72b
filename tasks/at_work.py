"""Every flow run holds a file of the home while it goes, so that anyone can see whether it still does.

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
"""Where a worker's run finds its own id, and the process of the worker of `kits up` that started it."""

_held: dict[str, IO[str]] = {}
_how_started = ""  # of the run that this process is for; the runs that are parts of it say the same


def hold_run(flow: Flow[..., Any], flow_run: FlowRun, _state: State) -> None:
    """A hook (`on_running`): hold the run's file until `let_go`, or the end of this process.

    A run of a worker also ends with that worker, which nothing else would end in its place.
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
    """A hook of every end but a crash: remove the run's file. Prefect's server and the catalog know of the end already.

    After a crash the file stays, and whoever looks next sets right what the catalog says.
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
