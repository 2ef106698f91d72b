import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kits_core.errors import CaseError
from tasks.isolated import WorkerDiedError, run_isolated

# Functions of modules that a worker can import: it does not import the tests.
HUGE, SMALL = 60_000_000, 1000


def test_the_result_comes_with_the_peak_of_that_call_alone():
    large = run_isolated(1, np.ones, HUGE)
    small = run_isolated(1, np.ones, SMALL)
    assert large.result.nbytes == 8 * HUGE
    assert large.peak_bytes > 8 * HUGE
    assert small.peak_bytes < large.peak_bytes - 4 * HUGE


def test_what_it_raises_comes_whole():
    from kits_core.errors import check_case_name

    with pytest.raises(CaseError, match="expected a name like case_00042"):
        run_isolated(1, check_case_name, "kidney")


def test_a_worker_that_is_killed_is_reported_and_the_next_call_works():
    with pytest.raises(WorkerDiedError, match="most often memory ran out"):
        run_isolated(1, os.kill, run_isolated(1, os.getpid).result, signal.SIGKILL)
    assert run_isolated(1, abs, -3).result == 3


def test_all_threads_share_the_workers():
    used = set()
    for _ in range(2):  # as stages do, one after the other, each with threads of its own
        with ThreadPoolExecutor(4) as threads:
            used |= set(threads.map(lambda _: run_isolated(2, os.getpid).result, range(16)))
    assert len(used) <= 2


def test_a_worker_needs_no_prefect():
    code = "import sys, tasks.isolated; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
