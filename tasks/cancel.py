"""Whether someone has cancelled the run. The server may be unreachable for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prefect import get_client, runtime
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flows import Flow
from prefect.logging import get_run_logger
from prefect.states import Cancelled

from db.models import RunStatus
from kits_core.errors import KitsError


class CancelledRunError(KitsError):
    """The flow run, or the one it is part of, was cancelled from the dashboard."""


@contextmanager
def surviving_the_server() -> Iterator[None]:
    """Ignore errors of the block if the Prefect server cannot be reached: the dashboard must not stop hours of work."""
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        get_run_logger().warning("the Prefect server does not answer (%s); going on without it", error)


def end_as_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State) -> None:  # noqa: ARG001 - a hook
    """A hook (`on_cancellation`) of every flow: a cancelled run ends as cancelled, whatever its result.

    Prefect's server accepts no other state then. Without this, a run without a worker that failed, or finished before
    it noticed, would stay "Cancelling" for ever.
    """
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run.id, Cancelled(message="Cancelled from the dashboard."))


def check_cancelled(next_step: str) -> None:
    """Raise `CancelledRunError` where the flow run, or the outermost one it is part of, is being cancelled.

    A worker ends a cancelled run by a signal. A run that the command line started has no worker, so it has to ask.
    """
    if _is_cancelled():
        raise CancelledRunError(f"cancelled from the dashboard; {next_step}")


def _is_cancelled() -> bool:
    """Whether the flow run, or the outermost one it is part of, is being cancelled; False if no server answers."""
    states = []
    with surviving_the_server(), get_client(sync_client=True) as client:
        ids = {runtime.flow_run.id, runtime.flow_run.root_flow_run_id} - {None}
        states = [client.read_flow_run(flow_run_id).state for flow_run_id in ids]
    return any(state is not None and (state.is_cancelling() or state.is_cancelled()) for state in states)


def how_it_ended(error: BaseException) -> RunStatus:
    """The status of a training or evaluation that ends by this error: the same as Prefect gives to the flow run."""
    if isinstance(error, CancelledRunError):
        return RunStatus.CANCELLED
    if isinstance(error, Exception):
        return RunStatus.FAILED
    return RunStatus.CANCELLED if _is_cancelled() else RunStatus.CRASHED
