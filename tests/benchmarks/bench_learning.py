"""How well the default network learns real shapes, against `segmentation-models-3D`'s `Unet('resnet18')`.

    python tests/benchmarks/bench_learning.py [--painted FOLDER] [--others PYTHON] [--epochs 25] [--seeds 3]

30 real masks, painted at full resolution and prepared at 64³, 24 to train and 6 to validate, drawn by the seed. FOLDER
keeps what is painted, which takes minutes, for the next time. PYTHON: an interpreter with segmentation-models-3D, which
trains with its Dice loss and Adam, by Keras's `fit`. Both see the same augmented batches of 2 in the same order, with
the same step sizes. Without PYTHON only ours trains. Dice is that of the last weights, unselected, on the scans'
original grids.

`--config JSON` changes settings of ours, and the step size of both; `--augment no` leaves the batches as they were
prepared: how the defaults were searched.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from common import show
from masks import MASKS, read_mask

from kits_core.geometry import GridMap, read_volume, restore_labels
from kits_core.labels import Label
from kits_core.metrics.overlap import dice
from kits_core.phantom.dataset import paint_masks
from kits_core.recipe import Recipe
from kits_core.recipe.prepare import prepare_case

CASES, TRAIN, SHAPE, BATCH = 30, 24, 64, 2

_OURS = """
import json, sys
import numpy as np
from kits_core.network.config import TrainingConfig
from kits_core.network.backend import ops
from kits_core.network.steps import steps_of
from kits_core.network.training import build_model, learning_rate
from kits_core.recipe import Recipe
folder, seed, epochs, settings = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
config = TrainingConfig(**{"batch_size": 2, "seed": seed, "epochs": epochs, **json.loads(settings)})
model = build_model(config, Recipe(shape=64))
images, labels = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("images", "labels"))
validation = np.load(f"{folder}/validation.npy")
a_epoch, steps = len(images) // epochs, steps_of(model, config)
for epoch in range(1, epochs + 1):
    model.optimizer.learning_rate = learning_rate(config, epoch)
    steps.begin()
    for step in range((epoch - 1) * a_epoch, epoch * a_epoch):
        steps.step(*(ops.convert_to_tensor(np.asarray(each[step])) for each in (images, labels)))
    steps.end()
np.save(f"{folder}/found.npy", np.concatenate([np.asarray(model.predict_on_batch(one[None])) for one in validation]))
"""

_THEIRS = """
import sys
import keras
import numpy as np
import segmentation_models_3D as sm
folder, seed = sys.argv[1], int(sys.argv[2])
images, labels = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("images", "labels"))
rates = np.load(f"{folder}/rates.npy")
class Batches(keras.utils.PyDataset):
    def __len__(self):
        return len(images)
    def __getitem__(self, step):
        return np.asarray(images[step]), np.eye(3, dtype=np.float32)[labels[step][..., 0]]
class Rates(keras.callbacks.Callback):
    def on_train_batch_begin(self, step, logs=None):
        self.model.optimizer.learning_rate = rates[step]
keras.utils.set_random_seed(seed)
model = sm.Unet("resnet18", input_shape=(64, 64, 64, 1), classes=3, activation="softmax", encoder_weights=None)
model.compile(optimizer=keras.optimizers.Adam(), loss=sm.losses.DiceLoss())
model.fit(Batches(), epochs=1, shuffle=False, verbose=0, callbacks=[Rates()])
validation = np.load(f"{folder}/validation.npy")
np.save(f"{folder}/found.npy", np.concatenate([model.predict_on_batch(one[None]) for one in validation]))
"""


def prepare(painted: Path, out: Path) -> list[tuple[str, GridMap]]:
    """The first real masks, painted in `painted`, at 64³ in `out`."""
    recipe, made = Recipe(shape=SHAPE), []
    names = sorted(path.parent.name for path in MASKS.glob("case_*/segmentation.nii.gz"))[:CASES]
    for name in paint_masks(MASKS, painted, names, seed=1):
        files = painted / name / "imaging.nii.gz", painted / name / "segmentation.nii.gz"
        made.append((name, prepare_case(name, *files, recipe, out / name).grid))
    return made


def step_sizes(settings: str, epochs: int) -> np.ndarray:
    """Adam's step size at every step."""
    from kits_core.network.config import TrainingConfig
    from kits_core.network.training import learning_rate

    config = TrainingConfig(**{"epochs": epochs, **json.loads(settings)})
    return np.repeat([learning_rate(config, epoch) for epoch in range(1, epochs + 1)], TRAIN // BATCH)


def write_batches(names: Sequence[str], out: Path, folder: Path, *, epochs: int, seed: int, augment: bool) -> None:
    """`images.npy` and `labels.npy`, `(steps, batch, x, y, z, 1)`, float32 and uint8."""
    from kits_core.network.augment import augmented
    from kits_core.network.loader import Loader, TrainingCase

    recipe = Recipe(shape=SHAPE)
    cases = [TrainingCase(name, out / name / "image.nii", out / name / "labels.nii") for name in names]
    loader = Loader(cases, recipe, BATCH, seed, augment=augment)
    shape = (epochs * len(loader), BATCH, SHAPE, SHAPE, SHAPE, 1)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.float32, shape)
    labels = np.lib.format.open_memmap(folder / "labels.npy", "w+", np.uint8, shape)
    for step, batch in enumerate(batch for epoch in range(1, epochs + 1) for batch in loader.epoch(epoch)):
        images[step], labels[step] = augmented(batch, recipe)


def scores(found: Path, cases: Sequence[tuple[str, GridMap]]) -> tuple[float, float]:
    """Mean Dice of kidney and tumour on the original grids."""
    values = []
    for (name, grid), probabilities in zip(cases, np.load(found), strict=True):
        reference, labels = read_mask(MASKS / name)[0], restore_labels(probabilities, grid)
        values.append([dice(labels == label, reference == label) for label in (Label.KIDNEY, Label.TUMOR)])
    kidney, tumor = np.mean(values, axis=0)
    return float(kidney), float(tumor)


def main() -> None:
    """Print mean and spread (standard deviation) over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--painted", type=Path)
    parser.add_argument("--others", help="an interpreter with segmentation-models-3D")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--config", default="{}")
    parser.add_argument("--augment", choices=("yes", "no"), default="yes")
    given = parser.parse_args()
    if not MASKS.is_dir():
        print(f"not run: no real masks at {MASKS}")
        return
    steps = given.epochs * TRAIN // BATCH
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        cases = prepare(given.painted or out / "painted", out)
        np.save(out / "rates.npy", step_sizes(given.config, given.epochs))
        for seed in range(given.seeds):
            order = np.random.default_rng(seed).permutation(len(cases))
            train, held = [cases[i] for i in order[:TRAIN]], [cases[i] for i in order[TRAIN:]]
            write_batches(
                [case for case, _ in train], out, out, epochs=given.epochs, seed=seed, augment=given.augment == "yes"
            )
            recipe = Recipe(shape=SHAPE)
            stored = [read_volume(out / case / "image.nii").data for case, _ in held]
            images = [recipe.standardise(recipe.central(image)) for image in stored]
            np.save(out / "validation.npy", np.stack(images)[..., None])
            ways = {"kits": (sys.executable, _OURS, (seed, given.epochs, given.config))}
            if given.others:
                ways["segmentation-models-3D"] = (given.others, _THEIRS, (seed,))
            for way, (python, code, words) in ways.items():
                subprocess.run([python, "-c", code, *map(str, (out, *words))], check=True)
                found.setdefault(way, []).append(scores(out / "found.npy", held))
                print(f"seed {seed}, {way}: kidney %.3f, tumour %.3f" % found[way][-1], flush=True)
    rows = [_row(way, np.array(values)) for way, values in found.items()]
    show(f"learning, {steps} steps, {given.seeds} seeds", rows)


def _row(way: str, values: np.ndarray) -> dict[str, object]:
    mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1 if len(values) > 1 else 0)
    return {
        "way": way,
        "kidney Dice": float(mean[0]), "its spread": float(spread[0]),
        "tumour Dice": float(mean[1]), "spread of it": float(spread[1]),
    }  # fmt: skip


if __name__ == "__main__":
    main()
