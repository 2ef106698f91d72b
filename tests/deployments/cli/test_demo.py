"""The demo with fewer phantoms and epochs, killed at any moment and started again."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from db.engine import open_catalog
from db.settings import Settings
from kits_core.files import sha256_of

pytestmark = pytest.mark.slow

# The demo itself, made short: the same verbs, flows and server, a smaller network.
SHORT = """
from deployments.cli import demo, main
from kits_core.network import small
demo.CASES, small.CONFIG = 6, small.CONFIG.model_copy(update={"epochs": 3, "architecture": "plain_unet", "filters": 4})
main()
"""


def _start(home):
    return subprocess.Popen(
        [sys.executable, "-c", SHORT, "demo"],
        env={name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _finished_cases(home):
    """Of every case that is done: when its files were written."""
    if not (home / "catalog.db").is_file():
        return {}
    with open_catalog(Settings()).connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT path, f.created_at FROM case_file f JOIN \"case\" c ON c.id = f.case_id WHERE c.status = 'ingested'"
        ).all()
    return {path: (created, (home / path).stat().st_mtime_ns) for path, created in rows}


def test_killed_three_times_and_started_again_it_ends_well_and_fetches_no_finished_case_twice(home):
    rng = random.Random(time.time_ns())
    moments = [rng.uniform(4, 45) for _ in range(3)]
    for moment in moments:
        demo = _start(home)
        try:
            demo.wait(moment)
        except subprocess.TimeoutExpired:
            demo.send_signal(signal.SIGKILL)
        demo.communicate()
        done = _finished_cases(home)
        for path in done:
            assert (home / path).is_file(), (moments, path)
    before = _finished_cases(home)
    demo = _start(home)
    output, _ = demo.communicate(timeout=400)
    assert demo.returncode == 0, (moments, output[-3000:])
    assert "Scores on held-out phantoms" in output
    after = _finished_cases(home)
    assert len(after) == 12
    assert {path: after[path] for path in before} == before, moments
    _everything_is_whole(home)


def _everything_is_whole(home):
    with open_catalog(Settings()).connect() as connection:
        files = list(connection.exec_driver_sql("SELECT path, sha256 FROM case_file"))
        files += connection.exec_driver_sql("SELECT image_path, image_sha256 FROM prepared_case").all()
        files += connection.exec_driver_sql("SELECT label_path, label_sha256 FROM prepared_case").all()
        files += connection.exec_driver_sql("SELECT path, sha256 FROM model").all()
        states = connection.exec_driver_sql("SELECT status FROM training_run UNION SELECT status FROM evaluation").all()
    assert len(files) == 12 + 6 + 6 + 1
    assert all(sha256_of(home / path) == sha256 for path, sha256 in files)
    assert states == [("completed",)]
    assert not list((home / "incoming").rglob("*.nii.gz"))
