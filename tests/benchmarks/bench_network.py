"""A training step and a prediction of the default network against `segmentation-models-3D`'s `Unet('resnet18')`.

    python tests/benchmarks/bench_network.py [--others PYTHON] [--rounds 3]

PYTHON: an interpreter of an environment of its own with `pip install segmentation-models-3D tensorflow-cpu`; without
it only ours is measured. Theirs as it installs (Keras decides on XLA) and with XLA switched off. Each way runs in a
process of its own, batch 1, its first step and prediction left out; memory is the process's peak. Theirs trains by
Keras's `fit`: the `train_on_batch` of the Keras that it resolves to traces the network anew at every call, four times
the time of the step itself.
"""

import argparse
import json
import statistics
import subprocess
import sys

from common import show

_TIMING = """
import json, resource, statistics, sys, time
import numpy as np
def data(shape):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, shape, shape, shape, 1)).astype(np.float32)
    return x, rng.integers(0, 3, size=(1, shape, shape, shape, 1)).astype(np.uint8)
def each(call, times):
    ends = [time.perf_counter()]
    for _ in range(times):
        call()
        ends.append(time.perf_counter())
    return ends
def tell(step_ends, predict, x, steps):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    predict_ends = each(lambda: predict(x), steps + 1)
    found = {"step, s": step_ends, "prediction, s": predict_ends}
    found = {name: statistics.median(np.diff(ends)[1:]) for name, ends in found.items()}
    print(json.dumps(found | {"peak, GB": peak}))
shape, steps, xla = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
"""

_OURS = """
from kits_core.network.backend import ops
from kits_core.network.config import TrainingConfig
from kits_core.network.steps import steps_of
from kits_core.network.training import build_model
from kits_core.recipe import Recipe
config = TrainingConfig(batch_size=1)
model = build_model(config, Recipe(shape=shape))
ours = steps_of(model, config)
x, y = data(shape)
def step():
    return float(ours.step(ops.convert_to_tensor(x), ops.convert_to_tensor(y))[0])
ours.begin()
ends = each(step, steps + 1)
ours.end()
tell(ends, model.predict_on_batch, x, steps)
"""

_THEIRS = """
import keras
import segmentation_models_3D as sm
model = sm.Unet("resnet18", input_shape=(shape, shape, shape, 1), classes=3, activation="softmax", encoder_weights=None)
options = {} if xla == "auto" else {"jit_compile": False}
model.compile(optimizer=keras.optimizers.Adam(1e-4), loss=sm.losses.DiceLoss(), **options)
x, y = data(shape)
y = np.eye(3, dtype=np.float32)[y[..., 0]]
class Batches(keras.utils.PyDataset):
    def __len__(self):
        return steps + 1
    def __getitem__(self, step):
        return x, y
ends = [time.perf_counter()]
class Ends(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        ends.append(time.perf_counter())
model.fit(Batches(), epochs=1, verbose=0, callbacks=[Ends()])
tell(ends, model.predict_on_batch, x, steps)
"""


def run(python: str, code: str, *words: str) -> dict[str, float] | str:
    """What one process measured, or the last line of its error."""
    done = subprocess.run([python, "-c", _TIMING + code, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1][:90]
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Print medians and how many times ours each is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--others", help="an interpreter with segmentation-models-3D")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="64³ alone, one round")
    given = parser.parse_args()
    ways = {"kits": (sys.executable, _OURS, "no")}
    if given.others:
        ways["segmentation-models-3D, no XLA"] = (given.others, _THEIRS, "no")
        ways["segmentation-models-3D, as it installs"] = (given.others, _THEIRS, "auto")
    for shape, steps in ((64, 5),) if given.quick else ((64, 5), (128, 3)):
        found: dict[str, list[dict[str, float] | str]] = {name: [] for name in ways}
        for _ in range(1 if given.quick else given.rounds):
            for name, (python, code, xla) in ways.items():
                found[name].append(run(python, code, str(shape), str(steps), xla))
        show(f"the network at {shape}³, batch 1", [_row(name, found[name], found["kits"]) for name in ways])


def _row(name: str, values: list[dict[str, float] | str], ours: list[dict[str, float] | str]) -> dict[str, object]:
    failures = [value for value in (*values, *ours) if isinstance(value, str)]
    if failures:
        return {"way": f"{name}: {failures[0]}"}
    row: dict[str, object] = {"way": name}
    for key in ("step, s", "prediction, s", "peak, GB"):
        theirs, own = (statistics.median(v[key] for v in side if isinstance(v, dict)) for side in (values, ours))
        row |= {key: theirs, f"{key.partition(',')[0]}, times": theirs / own}
    return row


if __name__ == "__main__":
    main()
