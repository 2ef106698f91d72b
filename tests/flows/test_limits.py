import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate

from kits_core.errors import KitsError
from tasks.limits import DOWNLOADS, download_slots

pytestmark = pytest.mark.usefixtures("prefect_api", "home")


def test_flow_runs_share_the_slots_and_the_second_waits_for_the_first():
    taken, most, lock = 0, 0, threading.Lock()

    @flow
    def download():
        nonlocal taken, most
        with download_slots(8) as granted:
            with lock:
                taken += granted
                most = max(most, taken)
            time.sleep(1)
            with lock:
                taken -= granted
        return granted

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(copy_context().run, download) for _ in range(2)]
        assert [run.result() for run in runs] == [8, 8]
    assert most == 8


HOLD = """
import time
from tasks.limits import _held
with _held(8, 8):
    print("held", flush=True)
    time.sleep(600)
"""


def test_slots_of_a_killed_process_are_free_at_once():
    @flow
    def download():
        with download_slots(8) as granted:
            return granted

    with subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "held\n"
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(copy_context().run, download)
            time.sleep(1)
            assert not run.done()
            owner.kill()
            killed = time.monotonic()
            assert run.result(30) == 8
    assert time.monotonic() - killed < 10  # 60 s with Prefect's slots


def test_the_limit_that_a_person_has_set_has_the_last_word():
    @flow
    def download(wanted):
        with download_slots(wanted) as granted:
            return granted

    assert download(2) == 2
    assert download(0) == 0
    with get_client(sync_client=True) as client:
        before = client.read_global_concurrency_limit_by_name(DOWNLOADS).limit
        client.update_global_concurrency_limit(DOWNLOADS, GlobalConcurrencyLimitUpdate(limit=3))
        try:
            assert download(8) == 3
            client.update_global_concurrency_limit(DOWNLOADS, GlobalConcurrencyLimitUpdate(limit=0))
            assert download(0) == 0
            with pytest.raises(KitsError, match=r"kits-downloads: expected a limit of at least 1 .*, got 0; raise it"):
                download(8)
        finally:
            client.update_global_concurrency_limit(DOWNLOADS, GlobalConcurrencyLimitUpdate(limit=before))
