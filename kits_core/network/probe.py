"""What the network's backend finds on this machine, and how long a training step takes.

Run as `python -m kits_core.network.probe`, it prints one JSON object as its last line: in a separate process, a crash
of the backend (by an instruction that the CPU lacks) stops nothing else.
"""

import json
import statistics
import time
from dataclasses import asdict, dataclass

import numpy as np

from kits_core.network.backend import cpu_kernels, find_gpus, keras, ops
from kits_core.network.machine import choose_device, choose_policy, running_on
from kits_core.network.small import CONFIG, RECIPE
from kits_core.network.steps import steps_of
from kits_core.network.training import build_model

_STEPS = 5
_ENOUGH_S = 30.0


@dataclass(frozen=True)
class Probe:
    """`step_seconds`: median of some training steps at the demo's size, without the slow first one.

    `first_step_seconds`: that one. `gpus`: those that the backend can use. `policy`: Keras's dtype policy.
    """

    backend: str
    keras: str
    cpu_kernels: str
    gpus: tuple[str, ...]
    device: str
    policy: str
    first_step_seconds: float
    step_seconds: float


def probe() -> Probe:
    """Measure training steps on noise."""
    device = choose_device(CONFIG.device)
    policy = choose_policy(CONFIG.precision, device)
    rng = np.random.default_rng(0)
    shape = (CONFIG.batch_size, *(RECIPE.shape,) * 3, 1)
    images, labels = rng.normal(size=shape).astype(np.float32), rng.integers(0, 3, size=shape).astype(np.uint8)
    seconds: list[float] = []
    with running_on(device, CONFIG):
        model = build_model(CONFIG, RECIPE, policy)
        steps = steps_of(model, CONFIG)
        steps.begin()
        images, labels = ops.convert_to_tensor(images), ops.convert_to_tensor(labels)
        while len(seconds) < 2 or (len(seconds) <= _STEPS and sum(seconds) < _ENOUGH_S):
            start = time.perf_counter()
            for loss in steps.step(images, labels):
                ops.convert_to_numpy(loss)
            seconds.append(time.perf_counter() - start)
    return Probe(
        backend=keras.backend.backend(),
        keras=keras.__version__,
        cpu_kernels=cpu_kernels(),
        gpus=tuple(card.name for card in find_gpus()),
        device=device,
        policy=policy,
        first_step_seconds=seconds[0],
        step_seconds=statistics.median(seconds[1:]),
    )


if __name__ == "__main__":
    print(json.dumps(asdict(probe())))  # noqa: T201 - what whoever started this process reads
