"""Starts the flow that takes corrected masks when some lie in the home's folder `corrections/`."""

from prefect import get_client

from db.settings import Settings
from tasks.laid_masks import find_laid, key_of

_DEPLOYMENT = "correct-laid/watch-corrections"


def start_correcting(settings: Settings) -> None:
    """Start one run for what lies there; none for what a run was started for already, however that ended."""
    laid = find_laid(settings)
    if not laid:
        return
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(_DEPLOYMENT)
        if not deployment.paused:
            client.create_flow_run_from_deployment(
                deployment.id, parameters={"parameters": {}}, idempotency_key=f"laid-{key_of(laid)}"
            )
