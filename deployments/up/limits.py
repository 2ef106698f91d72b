"""Names for the concurrency limits that Prefect makes for deployments: its own are their ids."""

from prefect import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate


def name_limits() -> None:
    """Call each limit after its deployment, as `pipeline: runs at once`."""
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            limit = deployment.global_concurrency_limit
            name = f"{deployment.name}: runs at once"
            if limit is not None and limit.name != name:
                client.update_global_concurrency_limit(limit.name, GlobalConcurrencyLimitUpdate(name=name))
