"""The work pools, their queues and limits."""

import shutil
import subprocess

from prefect import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker

CPU, GPU = "cpu", "gpu"
NIGHT, INBOX = "night", "inbox"
"""Queues of the pool `cpu` for what a schedule starts: one at a time each, behind what a person asked for."""

_CPU_RUNS = 4
_BEHIND = 10


def graphics_cards() -> int:
    """How many NVIDIA cards the machine has, as its driver says."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=False)  # noqa: S603 - no words of others
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def ensure_pools(cards: int) -> None:
    """Make the pools and the queue where they are not; what was set by hand stays, but for the number of cards.

    `gpu` runs one training a card (one on a machine without), the rest waits in its queue, in order.
    """
    _ensure_pool(CPU, _CPU_RUNS, "Ingestion, preparation, splits, evaluations.", keep_limit=True)
    _ensure_pool(GPU, max(1, cards), "Trainings: one a graphics card.", keep_limit=False)
    with get_client(sync_client=True) as client:
        for place, name in enumerate((NIGHT, INBOX)):
            try:
                client.read_work_queue_by_name(name, work_pool_name=CPU)
            except ObjectNotFound:
                client.create_work_queue(name=name, work_pool_name=CPU, concurrency_limit=1, priority=_BEHIND + place)


def _ensure_pool(name: str, limit: int, description: str, *, keep_limit: bool) -> None:
    template = ProcessWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(
                WorkPoolCreate(
                    name=name,
                    type="process",
                    description=description,
                    concurrency_limit=limit,
                    base_job_template=template,
                )
            )
        except ObjectAlreadyExists:
            if not keep_limit:
                client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit))
