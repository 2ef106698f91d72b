"""The loader: samples a second, and the share of a training step that waits for it.

The default network's input at 128³, with all augmentation, from prepared files of the frame `kidneys` (160³ stored), in
batches of 2: 8 do not fit here. Its step takes long on a CPU, so the demo's small network is measured too: 64³ in
batches of 2, where the loader has the least time. Waiting is the time inside `next()`; the network uses all
cores at the same time.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from common import show

from kits_core.geometry import Volume, write_volume
from kits_core.network.config import TrainingConfig
from kits_core.network.loader import Loader, TrainingCase
from kits_core.recipe import Recipe


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


def samples_per_second(loader: Loader) -> float:
    """With nothing else to do."""
    start = time.perf_counter()
    batches = sum(1 for _ in loader.epoch(1))
    return batches * loader.batch_size / (time.perf_counter() - start)


def idle_share(loader: Loader, recipe: Recipe, filters: int) -> tuple[float, float]:
    """Share of the time spent waiting for batches, and median seconds of a step; the first step is left out."""
    from kits_core.network.training import build_model

    model = build_model(TrainingConfig(batch_size=loader.batch_size, filters=filters), recipe)
    waits, steps = [], []
    batches = loader.epoch(1)
    while True:
        start = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            break
        arrived = time.perf_counter()
        model.train_on_batch(batch.images, batch.labels)
        waits.append(arrived - start)
        steps.append(time.perf_counter() - arrived)
    waits, steps = waits[1:], steps[1:]
    return sum(waits) / (sum(waits) + sum(steps)), statistics.median(steps)


def main() -> None:
    """Print both settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the demo's network alone")
    quick = parser.parse_args().quick
    settings = [("the demo's: 64³, batch 2, 12 filters", Recipe(shape=64), 2, 12, 24)]
    if not quick:
        settings.append(("default: 128³, batch 2, 64 filters", Recipe(frame="kidneys"), 2, 64, 16))
    rows: list[dict[str, object]] = []
    for title, recipe, batch, filters, count in settings:
        with tempfile.TemporaryDirectory() as name:
            loader = Loader(write_pairs(Path(name), recipe, count), recipe, batch, seed=1)
            rate = statistics.median(samples_per_second(loader) for _ in range(3))
            idle, step = idle_share(loader, recipe, filters)
        rows.append({"setting": title, "samples/s": rate, "step, s": step, "waiting, %": 100 * idle})
    show("loader", rows)


if __name__ == "__main__":
    main()
