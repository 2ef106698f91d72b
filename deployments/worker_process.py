"""A worker that ends when the process that started it does, however that one ends.

Run as `python -m deployments.worker_process POOL NAME LIMIT`, its standard input held open by the parent.
"""

import asyncio
import os
import signal
import sys
import threading

from prefect.workers.process import ProcessWorker


def main(pool: str, name: str, limit: int) -> None:
    """Take runs from the pool until standard input closes or a signal asks to stop."""
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    worker = ProcessWorker(work_pool_name=pool, name=name, limit=limit or None, create_pool_if_not_found=False)
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
