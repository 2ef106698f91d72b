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
from prefect.utilities.processutils import command_to_string
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker

from db.at_work import flow_run_file
from db.settings import current_settings
from kits_core.at_work import hold
from tasks.at_work import WORKER


class OneProcess(ProcessJobConfiguration):
    """A run is one process from its start.

    Without a command, Prefect starts a process that prepares a folder and then becomes the run's, so that Prefect is
    loaded twice for each run. The flows' code is here already.
    """

    def prepare_for_flow_run(self, *args: Any, **named: Any) -> None:
        """Fill in what the run's process needs; a command that the pool or the deployment has stays."""
        self.command = self.command or command_to_string([sys.executable, "-m", "prefect.engine"])
        super().prepare_for_flow_run(*args, **named)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # replaces Prefect's own worker

    class HoldingWorker(ProcessWorker):
        """Holds each run's file until the run's process has ended and Prefect has been told how."""

        job_configuration = OneProcess

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
