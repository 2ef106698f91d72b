"""How well networks learn real shapes in the same CPU time: the presets of `kits train`, and what others train.

    python tests/benchmarks/bench_learning.py [--painted FOLDER] [--others PYTHON] [--nnunet PYTHON]
        [--seconds 600 | --steps 300 | --steps WAY=N ...] [--seeds 0 1 2] [--presets reference strong] [--config JSON]

40 real masks, painted at full resolution and prepared at 64³: of the first 30, 24 to train and 6 held out, drawn by the
seed; the last 10 are scored too, and were never looked at when settings were chosen.
FOLDER keeps what is painted and prepared, which takes minutes, for the next time. All ways see the same augmented
samples in the same order. Each trains until it has used `--seconds` of CPU time, counted from its first step,
compilation included; or `--steps` steps. The step size falls over just that long. Dice is that of the last weights,
unselected, on the scans' original grids. A graphics card trains what the CPU has time for, where `--steps` names the
steps of each way that a run with `--seconds` said.

`--presets`: those of `kits_core.network.presets`. `--config`: one more way, settings of `TrainingConfig`.
`--others`: an interpreter with segmentation-models-3D: its `Unet('resnet18')`, its Dice loss, Adam from 1e-3 to 1e-5
along a half cosine, batches of 2. `--nnunet`: one with torch and dynamic-network-architectures: nnU-Net's plain U-Net
as it plans one for 64³, its loss and optimiser (Isensee et al. 2021), batches of 2.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from common import show
from masks import MASKS, read_mask
from numpy.typing import NDArray

from kits_core.geometry import GridMap, read_volume, restore_labels
from kits_core.labels import Label
from kits_core.metrics.overlap import dice
from kits_core.network.presets import PRESETS
from kits_core.phantom.dataset import paint_masks
from kits_core.recipe import Recipe
from kits_core.recipe.prepare import prepare_case

CASES, TRAIN, SHAPE = 30, 24, 64
SAMPLES = 100 * TRAIN  # what is longer sees them again

_CLOCK = """
import json, math, sys, time
import numpy as np

folder, seed, budget = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
images, labels = (np.load(f"{folder}/{name}.npy", mmap_mode="r") for name in ("images", "labels"))
validation = np.load(f"{folder}/validation.npy")


def train(size, step):
    "Call step(share of the way, images, labels) until the budget is spent."
    begun, done, total = time.process_time(), 0, budget["steps"] or budget["seconds"]
    while done < total:
        at = [(done * size + i) % len(images) for i in range(size)]
        step(done / total, np.stack([images[i] for i in at]), np.stack([labels[i] for i in at]))
        done += 1
        spent = time.process_time() - begun
        if done == 5:
            compiled = spent
        elif done > 5 and budget["seconds"]:
            total = done + max(0, budget["seconds"] - spent) / ((spent - compiled) / (done - 5))
    print(f"{done} steps, {time.process_time() - begun:.0f} s", flush=True)
"""

_OURS = """
from kits_core.network.config import TrainingConfig
from kits_core.network.backend import ops
from kits_core.network.steps import steps_of
from kits_core.network.training import build_model, learning_rate
from kits_core.recipe import Recipe

config = TrainingConfig(**{**json.loads(sys.argv[4]), "seed": seed, "epochs": 10_000})
model = build_model(config, Recipe(shape=64))
steps = steps_of(model, config)


def step(share, x, y):
    model.optimizer.learning_rate = learning_rate(config, 1 + int(share * config.epochs))
    steps.begin()
    steps.step(ops.convert_to_tensor(x), ops.convert_to_tensor(y))
    steps.end()


train(config.batch_size, step)
found = [model.predict_on_batch(one[None]) for one in validation]
np.save(f"{folder}/found.npy", np.concatenate([one[0] if config.deep_supervision else one for one in found]))
"""

_SEGMENTATION_MODELS = """
import keras
import segmentation_models_3D as sm
import tensorflow as tf

keras.utils.set_random_seed(seed)
model = sm.Unet("resnet18", input_shape=(64, 64, 64, 1), classes=3, activation="softmax", encoder_weights=None)
optimizer, loss_of = keras.optimizers.Adam(), sm.losses.DiceLoss()
optimizer.build(model.trainable_variables)


@tf.function  # train_on_batch of the Keras that it installs traces anew at each call
def one(x, y):
    with tf.GradientTape() as tape:
        loss = loss_of(y, model(x, training=True))
    optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))


def step(share, x, y):
    optimizer.learning_rate = 1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * share)) / 2
    one(tf.constant(x), tf.constant(np.eye(3, dtype=np.float32)[y[..., 0]]))


train(2, step)
np.save(f"{folder}/found.npy", np.concatenate([model.predict_on_batch(case[None]) for case in validation]))
"""

_NNUNET = """
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import nn
from torch.nn import functional as F

torch.manual_seed(seed)
device = "cuda" if torch.cuda.is_available() else "cpu"
widths = (32, 64, 128, 256, 320)
model = PlainConvUNet(
    1, len(widths), widths, nn.Conv3d, 3, (1, 2, 2, 2, 2), 2, 3, 2, conv_bias=True,
    norm_op=nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True},
    nonlin=nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=True,
)
model.apply(model.initialize)
model.to(device)
optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.99, nesterov=True, weight_decay=3e-5)
shares = np.array([1, 1 / 2, 1 / 4, 0])  # an output for each level of the decoder; the coarsest does not count
shares = shares / shares.sum()


def loss(logits, y):
    p, truth = logits.softmax(1), F.one_hot(y, 3).movedim(-1, 1).float()
    axes = (2, 3, 4)
    hit = (p * truth).sum(axes)
    soft = (2 * hit + 1e-5) / (p.sum(axes) + truth.sum(axes) + 1e-5).clamp_min(1e-8)
    return F.cross_entropy(logits, y) - soft[:, 1:].mean()


def step(share, x, y):
    optimizer.param_groups[0]["lr"] = 0.01 * (1 - share) ** 0.9
    optimizer.zero_grad()
    x, y = torch.from_numpy(x).movedim(-1, 1).to(device), torch.from_numpy(y[..., 0]).long().to(device)
    total = 0
    for level, (weight, logits) in enumerate(zip(shares, model(x))):
        if weight:
            total = total + weight * loss(logits, y[:, :: 2**level, :: 2**level, :: 2**level])
    total.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 12)
    optimizer.step()


model.train()
train(2, step)
model.eval()
with torch.no_grad():
    cases = [torch.from_numpy(one[None]).movedim(-1, 1).to(device) for one in validation]
    found = [model(one)[0].softmax(1).movedim(1, -1).cpu().numpy() for one in cases]
np.save(f"{folder}/found.npy", np.concatenate(found))
"""


def prepare(folder: Path, names: Sequence[str]) -> list[tuple[str, GridMap]]:
    """Real masks, painted in `folder`, and at 64³ in `folder/prepared`."""
    with ProcessPoolExecutor() as pool:
        return list(pool.map(partial(_prepare_one, folder), names))


def _prepare_one(folder: Path, name: str) -> tuple[str, GridMap]:
    out, kept = folder / "prepared" / name, folder / "prepared" / f"{name}.pickle"
    if not kept.is_file():
        paint_masks(MASKS, folder, [name], seed=1)
        files = folder / name / "imaging.nii.gz", folder / name / "segmentation.nii.gz"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(prepare_case(name, *files, Recipe(shape=SHAPE), out).grid))
    return name, pickle.loads(kept.read_bytes())


def write_samples(names: Sequence[str], prepared: Path, out: Path, seed: int) -> None:
    """`images.npy` and `labels.npy`, `(samples, x, y, z, 1)`, float32 and uint8: whole epochs, augmented."""
    from kits_core.network.augment import augmented
    from kits_core.network.loader import Loader, TrainingCase

    recipe = Recipe(shape=SHAPE)
    cases = [TrainingCase(name, prepared / name / "image.nii", prepared / name / "labels.nii") for name in names]
    loader = Loader(cases, recipe, 2, seed)
    shape = (SAMPLES, SHAPE, SHAPE, SHAPE, 1)
    images = np.lib.format.open_memmap(out / "images.npy", "w+", np.float32, shape)
    labels = np.lib.format.open_memmap(out / "labels.npy", "w+", np.uint8, shape)
    done = 0
    for epoch in range(1, SAMPLES // len(cases) + 1):
        for batch in loader.epoch(epoch):
            images[done : done + 2], labels[done : done + 2] = augmented(batch, recipe)
            done += 2


def scores(found: Path, cases: Sequence[tuple[str, GridMap]], pool: ProcessPoolExecutor) -> tuple[float, ...]:
    """Mean Dice of kidney and tumour on the original grids: of the held-out cases, then of those never looked at."""
    values = list(pool.map(_dice_of, cases, np.load(found)))
    return tuple(np.concatenate([np.mean(part, axis=0) for part in np.split(np.array(values), [CASES - TRAIN])]))


def _dice_of(case: tuple[str, GridMap], probabilities: NDArray[np.float32]) -> list[float]:
    reference, labels = read_mask(MASKS / case[0])[0], restore_labels(probabilities, case[1])
    return [dice(labels == label, reference == label) for label in (Label.KIDNEY, Label.TUMOR)]


def ways_of(given: argparse.Namespace) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Name of each way, its interpreter, its code, and what the code is told besides."""
    settings: dict[str, Any] = {name: PRESETS[name] for name in given.presets}
    if given.config is not None:
        settings[given.config] = json.loads(given.config)
    ways: dict[str, tuple[str, str, tuple[str, ...]]]
    ways = {name: (sys.executable, _OURS, (json.dumps(one),)) for name, one in settings.items()}
    if given.others:
        ways["segmentation-models-3D"] = (given.others, _SEGMENTATION_MODELS, ())
    if given.nnunet:
        ways["nnU-Net"] = (given.nnunet, _NNUNET, ())
    return ways


def steps_of(given: Sequence[str], ways: Iterable[str]) -> dict[str, int]:
    """The steps of each way; none where it is the CPU's time that counts."""
    if not given:
        return {}
    if len(given) == 1 and given[0].isdecimal():
        return dict.fromkeys(ways, int(given[0]))
    steps = {way: int(number) for way, number in (one.rsplit("=", 1) for one in given)}
    if steps.keys() != set(ways):
        raise SystemExit(f"--steps: expected a number for each of {', '.join(ways)}, got {', '.join(steps)}")
    return steps


def main() -> None:
    """Print mean and spread (standard deviation) over the seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--painted", type=Path)
    parser.add_argument("--others", help="an interpreter with segmentation-models-3D")
    parser.add_argument("--nnunet", help="an interpreter with torch and dynamic-network-architectures")
    parser.add_argument("--seconds", type=int, default=600, help="of CPU time")
    parser.add_argument("--steps", nargs="+", default=[], help="instead of seconds: a number, or WAY=N for each way")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--presets", nargs="*", default=["reference", "strong"])
    parser.add_argument("--config")
    given = parser.parse_args()
    if not MASKS.is_dir():
        print(f"not run: no real masks at {MASKS}")
        return
    names = sorted(path.parent.name for path in MASKS.glob("case_*/segmentation.nii.gz"))
    steps = steps_of(given.steps, ways_of(given))
    found: dict[str, list[tuple[float, ...]]] = {}
    # Processes of their own: Keras's backend has threads, which a fork does not survive.
    with tempfile.TemporaryDirectory() as name, ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        out = Path(name)
        folder = given.painted or out / "painted"
        cases, prepared = prepare(folder, names), folder / "prepared"
        for seed in given.seeds:
            order = np.random.default_rng(seed).permutation(CASES)
            train = [cases[i] for i in order[:TRAIN]]
            held = [*(cases[i] for i in order[TRAIN:]), *cases[CASES:]]
            write_samples([case for case, _ in train], prepared, out, seed)
            recipe = Recipe(shape=SHAPE)
            stored = [read_volume(prepared / case / "image.nii").data for case, _ in held]
            images = [recipe.standardise(recipe.central(image)) for image in stored]
            np.save(out / "validation.npy", np.stack(images)[..., None].astype(np.float32))
            for way, (python, code, words) in ways_of(given).items():
                budget = {"steps": steps.get(way, 0), "seconds": 0 if steps else given.seconds}
                command = [python, "-c", _CLOCK + code, str(out), str(seed), json.dumps(budget), *words]
                said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
                found.setdefault(way, []).append(scores(out / "found.npy", held, pool))
                print(f"seed {seed}, {way}:", *(f"{value:.3f}" for value in found[way][-1]), f"({said})", flush=True)
    spent = f"steps: {', '.join(given.steps)}" if steps else f"{given.seconds} s of CPU"
    rows = [_row(way, np.array(values)) for way, values in found.items()]
    show(f"learning, {spent}, seeds {', '.join(map(str, given.seeds))}", rows)


def _row(way: str, values: np.ndarray) -> dict[str, object]:
    mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1 if len(values) > 1 else 0)
    heads = ("kidney", "tumour", "kidney, new cases", "tumour, new cases")
    shown = {head: f"{one:.3f} ({other:.3f})" for head, one, other in zip(heads, mean, spread, strict=True)}
    return {"way": way, **shown}


if __name__ == "__main__":
    main()
