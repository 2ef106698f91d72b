"""Limits that flow runs share, kept by the Prefect server and shown in its dashboard."""

from prefect import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.exceptions import ObjectNotFound

DOWNLOADS = "kits-downloads"
"""Name of the global concurrency limit: how many cases are downloaded at once by all flow runs together."""

LEASE_S = 60.0
"""How long a slot stays taken after its owner was killed."""


def ensure_download_limit(workers: int) -> int:
    """Make the limit if there is none, as large as this run's `workers`; returns what it is.

    A person who changes it in the dashboard has the last word.
    """
    with get_client(sync_client=True) as client:
        try:
            return client.read_global_concurrency_limit_by_name(DOWNLOADS).limit
        except ObjectNotFound:
            client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=DOWNLOADS, limit=workers))
            return workers
