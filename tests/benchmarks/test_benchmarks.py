"""The benchmarks still run, at tiny sizes: those that take seconds. Their figures at these sizes mean nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUN = {
    "bench_catalog.py": "200 cases",
    "bench_cpu_per_gb.py": "float64 source",
    "bench_gpu.py": "card busy",
    "bench_layouts.py": "dicom, SEG",
    "bench_loader.py": "augmentation",
    "bench_memory.py": "105×512×512",
    "bench_patch_read.py": "whole volume",
    "bench_plan.py": "peak of planning",
    "bench_predict.py": "from a scan to its scores",
    "bench_prepare.py": "kits, with ceilings",
    "bench_scale.py": "20 cases of 32x32x32",
    "bench_score.py": "kits score, 2 predictions",
}
"""Each with words of its last table."""

_SERVERS = (
    "starts a Prefect server and takes over 20 s; what it calls is tested, and bench_scale.py asks the same server"
)
_TRAINS = "trains a network, which the tests of training do"
LEFT_OUT = {
    "bench_correction.py": _TRAINS,
    "bench_dask.py": _SERVERS,
    "bench_epoch.py": _TRAINS,
    "bench_fuzz.py": "make test does 300 of its files (tests/fuzz)",
    "bench_ingest_vs_serial.py": _SERVERS,
    "bench_kills.py": "kills verbs at random for minutes; make test kills each once",
    "bench_learning.py": _TRAINS,
    "bench_network.py": _TRAINS,
    "bench_operations.py": _TRAINS,
    "bench_orchestration.py": _SERVERS,
    "bench_prepare_flow.py": _SERVERS,
    "bench_rerun.py": _SERVERS,
    "bench_rt_utils.py": "needs an interpreter with rt-utils; test_real_layouts.py reads RTSTRUCTs of our own",
    "bench_step_memory.py": _TRAINS,
    "bench_up.py": _SERVERS,
    "bench_verbs.py": _SERVERS,
}

_NEEDS_MASKS = ("bench_score.py",)
_NO_SMALLER = ("bench_patch_read.py",)


def test_every_benchmark_is_run_or_left_out_for_a_reason():
    assert {path.name for path in HERE.glob("bench_*.py")} == RUN.keys() | LEFT_OUT.keys()
    assert RUN.keys().isdisjoint(LEFT_OUT)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_a_benchmark_runs_and_shows_its_tables(name, request):
    if name in _NEEDS_MASKS:
        request.getfixturevalue("real_masks")
    command = [sys.executable, HERE / name, *([] if name in _NO_SMALLER else ["--quick"])]
    environment = os.environ | {"PYTHONUTF8": "1", "KITS_SERVER_IDLE_MINUTES": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert RUN[name] in done.stdout
