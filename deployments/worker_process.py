"""A worker that ends when the process that started it does, however that one ends.

Run as `python -m deployments.worker_process POOL NAME LIMIT`, its standard input held open by the parent.
"""

import asyncio
import os
import signal
import sys
import threading
import warnings
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.workers.process import ProcessWorker

from db.at_work import flow_run_file
from db.settings import current_settings
from kits_core.at_work import hold
from tasks.at_work import WORKER

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # replaces Prefect's own worker

    class HoldingWorker(ProcessWorker):
        """Holds each run's file until the run's process has ended and Prefect has been told how."""

        async def _submit_run_and_capture_errors(self, flow_run: FlowRun, *args: Any, **named: Any) -> Any:
            with hold(flow_run_file(current_settings(), flow_run.id)):
                return await super()._submit_run_and_capture_errors(flow_run, *args, **named)


def main(pool: str, name: str, limit: int) -> None:
    """Take runs from the pool until standard input closes or a signal asks to stop."""
    os.environ[WORKER] = str(os.getpid())
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    worker = HoldingWorker(work_pool_name=pool, name=name, limit=limit or None, create_pool_if_not_found=False)
    try:
        asyncio.run(worker.start())
    except KeyboardInterrupt:
        return


def _stop_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        continue
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
