"""Whether someone has cancelled what is running."""

from prefect import get_client, runtime

from kits_core.errors import KitsError


class CancelledRunError(KitsError):
    """The flow run, or the one it is part of, was cancelled from the dashboard."""


def check_cancelled(next_step: str) -> None:
    """Raise `CancelledRunError` where the flow run, or the outermost one it is part of, is being cancelled.

    A worker ends a cancelled run by a signal. A run that the command line started has no worker, so it has to ask.
    """
    ids = {runtime.flow_run.id, runtime.flow_run.root_flow_run_id} - {None}
    with get_client(sync_client=True) as client:
        states = [client.read_flow_run(flow_run_id).state for flow_run_id in ids]
    if any(state is not None and (state.is_cancelling() or state.is_cancelled()) for state in states):
        raise CancelledRunError(f"cancelled from the dashboard; {next_step}")
