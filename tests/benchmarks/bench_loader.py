"""What batches cost the training: samples a second from files, waiting, and the augmentation's share of a step.

    python tests/benchmarks/bench_loader.py [--quick]

128³ in batches of 8, whole scan (128³ stored) and around the kidneys (160³ stored). `files alone`: reading, with
nothing else to do. `idle`: the share of its time that a device waits whose step takes 60 ms, for which a sleep stands.
Then the augmentation of a batch against a real step on this CPU, of the demo's network (64³, 12 filters) and of the
default one (128³, 64 filters; batch of 1, since 8 do not fit here), each after a first call that compiles.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import show

from kits_core.geometry import Volume, write_volume
from kits_core.network.config import TrainingConfig
from kits_core.network.loader import Loader, TrainingCase
from kits_core.recipe import Recipe

_STEP_S = 0.06


def write_pairs(folder: Path, recipe: Recipe, count: int) -> list[TrainingCase]:
    """Prepared pairs of noise with a cube of each label."""
    size = recipe.shape + 2 * recipe.context
    cases = []
    for number in range(count):
        rng = np.random.default_rng(number)
        labels = np.zeros((size,) * 3, np.uint8)
        labels[size // 4 : size // 2, size // 4 : size // 2, size // 4 : size // 2] = 1
        labels[size // 4 : size // 3, size // 4 : size // 3, size // 4 : size // 3] = 2
        hu = rng.normal(40, 30, labels.shape).astype(np.int16)
        case = TrainingCase(f"case_{number:05d}", folder / f"{number}_image.nii", folder / f"{number}_labels.nii")
        write_volume(case.image_path, Volume(hu, np.eye(4)))
        write_volume(case.label_path, Volume(labels, np.eye(4)))
        cases.append(case)
    return cases


def samples_per_second(loader: Loader, epochs: int = 3) -> float:
    """From files that the system has in memory, as from the second epoch on."""
    for _ in loader.epoch(1):
        pass
    start = time.perf_counter()
    batches = sum(1 for epoch in range(epochs) for _ in loader.epoch(2 + epoch))
    return batches * loader.batch_size / (time.perf_counter() - start)


def idle_share(loader: Loader, epochs: int = 3) -> float:
    """Share of the time in which a device with a step of 60 ms has to wait for its next batch."""
    waited = 0.0
    start = time.perf_counter()
    for epoch in range(epochs):
        batches = loader.epoch(1 + epoch)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            time.sleep(_STEP_S)
    return waited / (time.perf_counter() - start)


def augmentation_share(cases: list[TrainingCase], recipe: Recipe, config: TrainingConfig) -> dict[str, object]:
    """Seconds of the augmentation of a batch and of a step on it."""
    from kits_core.network.augment import augmented
    from kits_core.network.backend import ops
    from kits_core.network.steps import steps_of
    from kits_core.network.training import build_model

    batch = next(Loader(cases, recipe, config.batch_size, seed=1).epoch(1))
    steps = steps_of(build_model(config, recipe), config)
    images, labels = augmented(batch, recipe)
    steps.begin()
    augmentation = _median(lambda: ops.convert_to_numpy(augmented(batch, recipe)[0]))
    step = _median(lambda: [ops.convert_to_numpy(loss) for loss in steps.step(images, labels)])
    return {"augmentation, s": augmentation, "step, s": step, "share, %": 100 * augmentation / (augmentation + step)}


def _median(work: Callable[[], object], times: int = 5) -> float:
    work()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="32³ and the demo's network alone")
    quick = parser.parse_args().quick
    shape, count = (32, 8) if quick else (128, 49)
    demo = ("demo: 64³, 12 filters, batch of 1", Recipe(shape=64), TrainingConfig(batch_size=1, filters=12))
    default = ("default: 128³, 64 filters, batch of 1", Recipe(), TrainingConfig(batch_size=1))
    with tempfile.TemporaryDirectory() as name:
        rows: list[dict[str, object]] = []
        for recipe in (Recipe(shape=shape), Recipe(shape=shape, frame="kidneys")):
            pairs = write_pairs(Path(name), recipe, count)
            loader = Loader(pairs * 8, recipe, 8, seed=1)  # an epoch of 49 steps, as KiTS has
            files, idle = samples_per_second(loader), 100 * idle_share(loader)
            rows.append({"stored": f"{shape + 2 * recipe.context}³", "files alone, samples/s": files, "idle, %": idle})
        show(f"batches of 8 at {shape}³", rows)
        rows = []
        for title, recipe, config in (demo,) if quick else (demo, default):
            rows.append({"network": title, **augmentation_share(write_pairs(Path(name), recipe, 2), recipe, config)})
        show("augmentation", rows)


if __name__ == "__main__":
    main()
