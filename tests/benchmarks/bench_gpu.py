"""The reference recipe on a graphics card: a step, the same network in PyTorch, and all of its 50 epochs.

    KERAS_BACKEND=jax python tests/benchmarks/bench_gpu.py [--parts step torch epochs] [--painted FOLDER] [--epochs 50]

391 cases to train and 98 to validate are painted at 128³ into FOLDER (a minute on 16 cores). Parts:

`step`    batch of 8, float32 and bfloat16: seconds of a step whose batch lies on the card; of the
          augmentation of a batch, its way to the card included; of a step fed from the files by the loader, augmented;
          the share of that time in which the card has neither to do; and the card's peak memory.
`torch`   the same network, loss and optimiser in PyTorch: channels last, compiled, float32 and bfloat16.
`none`    nothing but the cases.
`epochs`  `kits_core.network.training.train` with the reference settings, to the end: seconds, the share of validation
          and of all else, Dice, and how busy `nvidia-smi` says that the card was.

Each measurement is a process of its own. Float32 means what the backends do by default, TF32 inside convolutions.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # Keras's backend is chosen before this is loaded
    from kits_core.network.loader import TrainingCase

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parents[2]))
TRAIN, VALIDATION, SHAPE, BATCH, FILTERS = 391, 98, 128, 8, 64
_SPACING_MM = (2.9, 2.9, 2.9)
_STEPS = 24
_QUICK = {"TRAIN": 2, "VALIDATION": 1, "SHAPE": 32, "BATCH": 2, "FILTERS": 4, "_STEPS": 1}


def paint_pair(folder: Path, number: int) -> None:
    """A phantom patient as it would be stored once it is prepared."""
    from kits_core.geometry import Volume, write_volume
    from kits_core.phantom.anatomy import make_labels
    from kits_core.phantom.paint import paint

    image_path, label_path = folder / f"{number}_image.nii", folder / f"{number}_labels.nii"
    if image_path.exists():
        return
    rng = np.random.default_rng(number)
    labels = make_labels((SHAPE,) * 3, _SPACING_MM, rng)
    image = paint(labels, _SPACING_MM, rng)
    labels[labels == 3] = 0
    # From KiTS's order (inferior, posterior, left) to (right, anterior, superior).
    turned = [np.ascontiguousarray(array[::-1, ::-1, ::-1].transpose(2, 1, 0)) for array in (labels, image)]
    write_volume(label_path, Volume(turned[0].astype(np.uint8), np.diag([*_SPACING_MM, 1.0])))
    write_volume(image_path, Volume(turned[1].astype(np.int16), np.diag([*_SPACING_MM, 1.0])))


def cases_in(folder: Path, first: int, count: int) -> "list[TrainingCase]":
    """`TrainingCase`s of painted pairs."""
    from kits_core.network.loader import TrainingCase

    numbers = range(first, first + count)
    return [TrainingCase(f"case_{n:05d}", folder / f"{n}_image.nii", folder / f"{n}_labels.nii") for n in numbers]


def measure_step(folder: Path, precision: str) -> dict[str, float]:
    """Seconds of a step, of the augmentation, and of a step fed from files."""
    from kits_core.network.augment import augmented
    from kits_core.network.backend import keras, ops, peak_memory_bytes
    from kits_core.network.config import TrainingConfig
    from kits_core.network.loader import Loader
    from kits_core.network.machine import choose_device, choose_policy
    from kits_core.network.steps import steps_of
    from kits_core.network.training import build_model
    from kits_core.recipe import Recipe

    def wait(tensor: object) -> None:
        np.asarray(ops.convert_to_numpy(tensor)).ravel()[:1]

    recipe, config = Recipe(shape=SHAPE), TrainingConfig(precision=precision, batch_size=BATCH, filters=FILTERS)
    model = build_model(config, recipe, choose_policy(precision, choose_device("auto")))
    steps = steps_of(model, config)
    loader = Loader(cases_in(folder, 0, TRAIN), recipe, BATCH, seed=1)
    batch = next(loader.epoch(1))
    images, labels = augmented(batch, recipe)
    steps.begin()
    start = time.perf_counter()
    wait(steps.step(images, labels)[0])
    found = {"first step, s": time.perf_counter() - start}
    found["step, s"] = _each(lambda: steps.step(images, labels)[0], wait)
    found["augmentation, s"] = _each(lambda: augmented(batch, recipe)[0][:, 0], wait)
    fed = []
    for epoch in (2, 3):
        losses, start = [], time.perf_counter()
        for coming in loader.epoch(epoch):
            losses.append(steps.step(*augmented(coming, recipe))[0])
            if len(losses) > 2:
                wait(losses[-3])
        wait(losses[-1])
        fed.append((time.perf_counter() - start) / len(losses))
    found["step fed from files, s"] = fed[-1]
    found["idle, %"] = 100 * max(0.0, 1 - (found["step, s"] + found["augmentation, s"]) / fed[-1])
    found["samples/s"] = BATCH / fed[-1]
    start = time.perf_counter()
    read = sum(len(b.cases) for b in islice(loader.epoch(4), 40))
    found["files alone, samples/s"] = read / (time.perf_counter() - start)
    found["peak, GB"] = peak_memory_bytes() / 1e9
    assert keras.backend.backend() == os.environ.get("KERAS_BACKEND", "tensorflow")
    return found


def _each(work: Callable[[], Any], wait: Callable[[Any], object]) -> float:
    """Seconds of one of many calls that follow each other, the median of three rounds."""
    wait(work())
    rounds = []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(_STEPS - 1):
            work()
        wait(work())
        rounds.append((time.perf_counter() - start) / _STEPS)
    return statistics.median(rounds)


def measure_torch(precision: str) -> dict[str, float]:
    """The same network in PyTorch, on a batch that lies on the card."""
    import torch
    from torch_network import ResNetUNet, focal_tversky

    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    model = ResNetUNet().cuda().to(memory_format=torch.channels_last_3d)
    found: dict[str, float] = {"parameters": sum(p.numel() for p in model.parameters() if p.requires_grad)}
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-4, fused=True)
    fast = torch.compile(model)
    images = torch.randn(BATCH, 1, SHAPE, SHAPE, SHAPE, device="cuda").to(memory_format=torch.channels_last_3d)
    labels = torch.randint(0, 3, (BATCH, SHAPE, SHAPE, SHAPE), device="cuda")

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
            logits = fast(images)
        loss = focal_tversky(logits.float(), labels)
        loss.backward()
        optimizer.step()
        return loss

    start = time.perf_counter()
    step().item()
    found["first step, s"] = time.perf_counter() - start
    found["step, s"] = _each(step, lambda loss: loss.item())
    found["peak, GB"] = torch.cuda.max_memory_allocated() / 1e9
    return found


class _EnoughError(Exception):
    """The time is up."""


def measure_epochs(folder: Path, epochs: int, limit_s: float) -> dict[str, float]:
    """The reference recipe from its first step to its best checkpoint, or as far as it comes."""
    from kits_core.network.backend import peak_memory_bytes
    from kits_core.network.config import TrainingConfig
    from kits_core.network.training import train
    from kits_core.recipe import Recipe

    told: list[dict[str, float]] = []

    class Told:
        def note(self, text: str) -> None:
            print(text, flush=True)

        def resumed(self, history: object) -> None:
            pass

        def budget(self, budget: object) -> None:
            pass

        def step(self, step: int, steps: int, loss: float) -> None:
            pass

        def validated(self, cases: int, of: int) -> None:
            pass

        def epoch(self, epoch: int, values: Mapping[str, float]) -> None:
            told.append(dict(values))
            print(f"epoch {epoch}: " + ", ".join(f"{k} {v:.4g}" for k, v in values.items()), flush=True)
            if time.perf_counter() - start > limit_s:
                raise _EnoughError

    query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-l", "1"]
    busy = subprocess.Popen(query if shutil.which(query[0]) else ["true"], stdout=subprocess.PIPE, text=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, suppress(_EnoughError):
        train(
            TrainingConfig(epochs=epochs, batch_size=BATCH, filters=FILTERS),
            Recipe(shape=SHAPE),
            train_cases=cases_in(folder, 0, TRAIN),
            validation_cases=cases_in(folder, TRAIN, VALIDATION),
            folder=Path(name) / "run",
            watcher=Told(),
        )
    seconds = time.perf_counter() - start
    busy.terminate()
    shares = [int(line) for line in busy.communicate()[0].split()]
    later, best = told[1:] or told, max(told, key=lambda values: values["score"])
    return {
        "epochs": len(told),
        "seconds": seconds,
        "first epoch, s": told[0]["seconds"],
        "an epoch, s": statistics.median(v["seconds"] for v in later),
        "its steps, s": statistics.median(v["step_seconds"] for v in later),
        "outside of epochs, s": seconds - sum(v["seconds"] for v in told),
        "card busy, %": float(np.mean(shares[len(shares) // 5 :] or [0])),
        "kidney Dice": best["kidney_dice"],
        "tumour Dice": best["tumor_dice"],
        "peak, GB": peak_memory_bytes() / 1e9,
    }


def _in_a_process(*words: str) -> dict[str, float]:
    quick = ["--quick"] if _QUICK["FILTERS"] == FILTERS else []
    done = subprocess.run(
        [sys.executable, str(HERE), *quick, "--one", *words], stdout=subprocess.PIPE, text=True, check=False
    )
    lines = done.stdout.splitlines()
    print("\n".join(lines[:-1]), flush=True)
    return json.loads(lines[-1]) if done.returncode == 0 else {"exit status": done.returncode}


def main() -> None:
    """Print one block of figures for each part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--parts", nargs="+", default=["step", "torch", "epochs"], choices=["step", "torch", "epochs", "none"]
    )
    parser.add_argument("--precisions", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--painted", type=Path, default=Path(tempfile.gettempdir()) / "kits_painted_128")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=1e6, help="when the epochs end, whatever their number")
    parser.add_argument("--one", nargs="+", help="measure in this process; prints JSON")
    parser.add_argument("--quick", action="store_true", help="32³, three cases, on whatever there is, without PyTorch")
    given = parser.parse_args()
    if given.quick:
        globals().update(_QUICK)
        given.parts, given.precisions, given.epochs = ["step", "epochs"], ["float32"], 1
        given.painted = given.painted.with_name("kits_painted_quick")
    if given.one:
        kind, *words = given.one
        found = {
            "step": lambda: measure_step(Path(words[0]), words[1]),
            "torch": lambda: measure_torch(words[0]),
            "epochs": lambda: measure_epochs(Path(words[0]), int(words[1]), float(words[2])),
        }[kind]()
        print(json.dumps(found))
        return
    if not given.quick:
        os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that paint, one a core
    given.painted.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with ProcessPoolExecutor() as pool:
        list(pool.map(paint_pair, [given.painted] * (TRAIN + VALIDATION), range(TRAIN + VALIDATION), chunksize=4))
    print(f"{TRAIN + VALIDATION} painted cases: {time.perf_counter() - start:.0f} s", flush=True)
    runs: dict[str, list[tuple[str, ...]]] = {
        "step": [("step", str(given.painted), each) for each in given.precisions],
        "torch": [("torch", each) for each in given.precisions],
        "none": [],
        "epochs": [("epochs", str(given.painted), str(given.epochs), str(given.seconds))],
    }
    for part in given.parts:
        for words in runs[part]:
            start = time.perf_counter()
            found = _in_a_process(*words)
            print(f"== {' '.join(words)} ({time.perf_counter() - start:.0f} s in all)", flush=True)
            print("\n".join(f"   {name:<26}{value:.4g}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
