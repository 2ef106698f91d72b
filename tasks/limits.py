"""Limits that flow runs share, kept by the Prefect server and shown in its dashboard."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from prefect import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.logging import get_run_logger

from kits_core.errors import KitsError

DOWNLOADS = "kits-downloads"
"""Name of the global concurrency limit: how many cases all flow runs together download at once."""

_AT_FIRST = 8
_LEASE_S = 60.0
"""How long slots stay taken after their owner was killed: the shortest that Prefect allows."""


@contextmanager
def download_slots(wanted: int) -> Iterator[int]:
    """Hold up to `wanted` slots of the limit for the block, waiting for other flow runs; yields how many those are.

    A run takes its slots once and not a case at a time: each taking is a write to the server's database, which SQLite
    refuses under load, and Prefect's client then waits for two seconds. The limit is made, with 8 slots or `wanted` if
    that is more, where there is none; afterwards the dashboard has the last word. Raises `KitsError` for a limit of 0,
    which would be waited for without end.
    """
    if wanted < 1:
        yield 0
        return
    granted = min(wanted, _ensure_limit(max(_AT_FIRST, wanted)))
    if granted < 1:
        raise KitsError(
            f"{DOWNLOADS}: expected a limit of at least 1 download at once, got {granted}; raise it in the dashboard "
            "under Concurrency, then run this again"
        )
    if granted < wanted:
        get_run_logger().warning(
            "%d downloads at once instead of %d: that is the limit %s for all flow runs together; raise it in the "
            "dashboard under Concurrency",
            granted,
            wanted,
            DOWNLOADS,
        )
    with concurrency(DOWNLOADS, occupy=granted, lease_duration=_LEASE_S):
        yield granted


def _ensure_limit(slots: int) -> int:
    with get_client(sync_client=True) as client:
        try:
            return client.read_global_concurrency_limit_by_name(DOWNLOADS).limit
        except ObjectNotFound:
            with suppress(ObjectAlreadyExists):  # two runs may make it at once
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=DOWNLOADS, limit=slots))
        return client.read_global_concurrency_limit_by_name(DOWNLOADS).limit
