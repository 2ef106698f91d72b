"""What a training step and a prediction of the default network cost, operation by operation, on one thread and on all.

Each measurement is a process of its own: TensorFlow and oneDNN read their settings once. An operation that takes as
long on all threads as on one has no parallel kernel; the last column shows that. Run as `python
tests/benchmarks/bench_operations.py [--shape 64] [--filters 64] [--batch-size 1]`; with `ONEDNN_MAX_CPU_ISA=AVX2` it
shows what a CPU without AVX-512 does.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

STEPS = 3


def measure(shape: int, filters: int, batch_size: int, threads: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds a step by kind of operation, `(training, prediction)`; for a process of its own."""
    import tensorflow as tf

    # One operation at a time, so that none counts what another one takes.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(threads)

    from kits_core.network.config import TrainingConfig
    from kits_core.network.steps import steps_of
    from kits_core.network.training import build_model
    from kits_core.recipe import Recipe

    rng = np.random.default_rng(0)
    size = (batch_size, shape, shape, shape, 1)
    images, labels = rng.normal(size=size).astype(np.float32), rng.integers(0, 3, size=size).astype(np.uint8)
    images, labels = tf.convert_to_tensor(images), tf.convert_to_tensor(labels)
    config = TrainingConfig(batch_size=batch_size, filters=filters)
    model = build_model(config, Recipe(shape=shape))
    steps = steps_of(model, config)
    return _profiled(lambda: steps.step(images, labels)), _profiled(lambda: model.predict_on_batch(images))


def _profiled(call: Callable[[], object]) -> dict[str, float]:
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    for _ in range(2):
        call()
    options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=3, python_tracer_level=0)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder, options=options)
        for _ in range(STEPS):
            call()
        tf.profiler.experimental.stop()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace()
        space.ParseFromString(path.read_bytes())
    seconds: dict[str, float] = defaultdict(float)
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            if kind := plane.event_metadata[event.metadata_id].display_name:
                seconds[kind.removeprefix("_Mkl").removeprefix("Native")] += event.duration_ps / 1e12 / STEPS
    return seconds


def main() -> None:
    """Print a table of operations for a training step, and one for a prediction."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", type=int, default=64)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--threads", type=int, help="measure in this process, with so many threads; prints JSON")
    asked = parser.parse_args()
    if asked.threads:
        print(json.dumps(measure(asked.shape, asked.filters, asked.batch_size, asked.threads)))
        return
    cores = os.cpu_count() or 1
    found = {}
    for threads in (1, cores):
        command = [sys.executable, __file__, *sys.argv[1:], "--threads", str(threads)]
        environment = {"TF_ENABLE_ONEDNN_OPTS": "1"} | os.environ  # as kits_core.network.backend sets it
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found[threads] = json.loads(done.stdout.splitlines()[-1])
    for place, what in enumerate(("training step", "prediction")):
        one, many = found[1][place], found[cores][place]
        total = sum(many.values())
        print(f"\n{what}, {asked.shape}³, {asked.filters} filters, batch of {asked.batch_size}: operations of "
              f"{sum(one.values()):.2f} s on one thread, {total:.2f} s on {cores}")  # fmt: skip
        print(f"{'operation':<38}{'1 thread':>10}{f'{cores} threads':>12}{'share':>8}{'faster':>8}")
        for kind in sorted(many, key=many.__getitem__, reverse=True)[:14]:
            alone = one.get(kind, 0.0)
            print(f"{kind:<38}{alone:>9.3f}s{many[kind]:>11.3f}s{many[kind] / total:>8.1%}{alone / many[kind]:>7.2f}x")


if __name__ == "__main__":
    main()
