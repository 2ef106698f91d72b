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

pytestmark = pytest.mark.usefixtures("prefect_api")


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
