"""CPU seconds of verbs: of the command itself, and of the home's Prefect server meanwhile; first and second call.

Run as `python tests/benchmarks/bench_verbs.py`. Beside them stands what the command took from its start until its flow
ran, which is what a user waits for before anything happens. And what loading TensorFlow with Keras costs, by the
platform and by `import keras`.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from deployments.home_note import prefect_home, read_note
from deployments.home_server import retire
from kits_core.phantom.dataset import write_phantoms

KITS = (sys.executable, "-c", "from deployments.cli import main; main()")
# The same, but the clock stops where the flow would begin.
UNTIL_THE_FLOW = """
import sys, time
from deployments.cli import main
from prefect import Flow
Flow.__call__ = lambda *_, **__: sys.exit(print(time.process_time(), file=sys.stderr))
main()
"""
BACKEND = "kits_core.network.backend"
VERBS = ("--help", "prepare --shape 48", "ingest --source {source}", "prepare --shape 32", "split")


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _server_s(home: Path) -> float:
    note = read_note(prefect_home(home) / "server.json")
    try:
        times = psutil.Process(note.pid).cpu_times() if note else None
    except psutil.NoSuchProcess:
        times = None
    return times.user + times.system if times else 0.0


def _measure(words: Sequence[str], home: Path, environment: Mapping[str, str]) -> tuple[float, float, float]:
    server, own, start = _server_s(home), _children_s(), time.perf_counter()
    subprocess.run([*KITS, *words], env=environment, capture_output=True, check=False)
    wall_s = time.perf_counter() - start
    return _children_s() - own, _server_s(home) - server, wall_s


def main() -> None:
    """Print a line a call."""
    with tempfile.TemporaryDirectory() as name:
        folder, home = Path(name), Path(name) / "home"
        write_phantoms(folder / "source", 6, 3, shape=(24, 64, 64), spacing_mm=(8.0, 5.0, 5.0))
        environment = {n: v for n, v in os.environ.items() if not n.startswith("PREFECT_")} | {"KITS_HOME": str(home)}
        print(f"{'verb':<22}{'call':<8}{'command':>10}{'server':>10}{'wall':>10}   CPU s, CPU s, s")
        for verb in VERBS:
            words = [word.format(source=folder / "source") for word in verb.split()]
            for call in ("first", "second"):
                own, server, wall_s = _measure(words, home, environment)
                print(
                    f"{verb.split(' --source')[0]:<22}{call:<8}{own:>10.2f}{server:>10.2f}{wall_s:>10.2f}", flush=True
                )
        command = [sys.executable, "-c", UNTIL_THE_FLOW, "split"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        print(f"split, until its flow begins: {float(done.stderr.split()[-1]):.2f} CPU s")
        retire(home)
    loading = {name: statistics.median(_loading_s(name) for _ in range(3)) for name in (BACKEND, "keras")}
    print(f"loading the network's libraries, and import keras: {loading[BACKEND]:.2f} and {loading['keras']:.2f} CPU s")
    print(f"that is {loading[BACKEND] / loading['keras']:.2f} times")


def _loading_s(module: str) -> float:
    """CPU seconds until a module is there, under TensorFlow."""
    code = f"import time, {module}; print(time.process_time())"
    environment = os.environ | {"KERAS_BACKEND": "tensorflow"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()
