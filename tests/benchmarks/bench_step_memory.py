"""XLA's own account of the memory of a training step of the defaults: 128³, batch 8, under JAX.

    python tests/benchmarks/bench_step_memory.py [--shape 128]

The step is compiled for a CPU and not run, so the account is of XLA's buffers for this network, not of a graphics card:
there the convolutions' own scratch space comes on top.
"""

import argparse
import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from common import show


def memory(shape: int, micro_batch: int, policy: str) -> dict[str, float]:
    """Gigabytes of arguments and temporaries of one compiled step."""
    import jax
    import numpy as np

    from kits_core.network.config import TrainingConfig
    from kits_core.network.steps import steps_of
    from kits_core.network.training import build_model
    from kits_core.recipe import Recipe

    config = TrainingConfig(micro_batch=micro_batch)
    steps: Any = steps_of(build_model(config, Recipe(shape=shape), policy), config)
    steps.begin()
    x = jax.ShapeDtypeStruct((micro_batch, shape, shape, shape, 1), np.float32)  # type: ignore[no-untyped-call]  # JAX has no types for it
    y = jax.ShapeDtypeStruct((micro_batch, shape, shape, shape, 1), np.uint8)  # type: ignore[no-untyped-call]  # as above
    compiled = steps._one.lower(steps._state, x, y).compile()
    account = compiled.memory_analysis()
    found = {"weights and moments, GB": account.argument_size_in_bytes, "temporaries, GB": account.temp_size_in_bytes}
    return {name: size / 1e9 for name, size in found.items()}


def main() -> None:
    """Print one row a precision and micro-batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=int, default=128)
    parser.add_argument("--quick", action="store_true", help="32³")
    given = parser.parse_args()
    shape = 32 if given.quick else given.shape
    ways = [("mixed_bfloat16", 8), ("mixed_bfloat16", 2), ("float32", 8)]
    rows = [{"policy": policy, "cases at once": str(micro), **memory(shape, micro, policy)} for policy, micro in ways]
    show(f"a training step at {shape}³", rows)


if __name__ == "__main__":
    main()
