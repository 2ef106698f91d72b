"""A worker whose parent is killed ends too, whatever it waits for."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

CODE = """
import os, sys, time
from loky import get_reusable_executor
from kits_core.orphans import end_with_parent
def wait(seconds):
    time.sleep(seconds)
executor = get_reusable_executor(max_workers=1, initializer=end_with_parent)
print(executor.submit(os.getpid).result(), flush=True)
executor.submit(wait, 600).result()
"""


def test_a_worker_ends_soon_after_a_kill_of_who_started_it():
    process = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, encoding="utf-8")
    worker = int(process.stdout.readline())
    time.sleep(0.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while _is_there(worker):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return stat.rpartition(")")[2].split()[0] != "Z"
