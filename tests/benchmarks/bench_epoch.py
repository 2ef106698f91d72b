"""What an epoch of 49 steps takes beside its steps: loading, validation, checkpoints, catalog, artifacts.

    python tests/benchmarks/bench_epoch.py [--shape 64] [--batch-size 2]

The flow `train` with the default network on phantoms, a fifth of them to validate, as in KiTS's 392 and 97, against a
running Prefect server. The first epoch, which compiles, is left out. 128³ is the reference recipe's; its batches of 8
take more phantoms than a benchmark should write.

`--card` lets a sleep of 60 ms stand for the step and the augmentation of a graphics card, in batches of 8 at 128³ and
without validation, and lets every call of the Prefect server take 2 s: what is left is the host's part. With
`KERAS_BACKEND=jax` checkpoints are written beside the steps.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"

from common import show

BESIDE = "beside the steps, %"
_STEPS = 49
_CARD_STEP_S = 0.06


def main() -> None:
    """Print the share of an epoch that is not steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--shape", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="20 phantoms, two epochs, 12 filters")
    parser.add_argument("--card", action="store_true", help="a sleep stands for a graphics card's step")
    parser.add_argument("--filters", type=int, default=64)
    given = parser.parse_args()
    settings = {"epochs": given.epochs, "batch_size": given.batch_size, "filters": given.filters}
    cases = round(_STEPS * given.batch_size / 0.8)
    if given.quick:
        cases, settings = 20, {"epochs": 2, "batch_size": 2, "filters": 12}
    if given.card:
        cases, settings, given.shape = 10, settings | {"batch_size": 8}, 128
        _put_a_sleep_in_place_of_the_card()
    with tempfile.TemporaryDirectory() as name:
        from deployments.server import prefect_server

        os.environ["KITS_HOME"] = str(Path(name) / "home")
        with prefect_server(Path(name) / "prefect"):
            rows = _train(Path(name) / "phantoms", cases, given.shape, settings)
    if given.card:
        for row in rows:
            row["steps, s"] = _STEPS * _CARD_STEP_S
            row[BESIDE] = 100 * (1 - row["steps, s"] / row["seconds"])
    shares = [row[BESIDE] for row in rows]
    show(
        "an epoch",
        [*rows, {"epoch": "median", "seconds": "", "steps, s": "", "beside the steps, %": statistics.median(shares)}],
    )


def _put_a_sleep_in_place_of_the_card() -> None:
    from kits_core.network import training
    from kits_core.network.loader import Loader, TrainingCase
    from kits_core.network.steps import Steps
    from kits_core.network.validation import Validator
    from tasks import watch

    def load(cases: Sequence[TrainingCase], *others: Any) -> Loader:
        return Loader([cases[i % len(cases)] for i in range(_STEPS * 8)], *others)

    def step(*_: object) -> list[float]:
        time.sleep(_CARD_STEP_S)
        return [1.0]

    def slow(call: Callable[..., object]) -> Callable[..., object]:
        def slowly(*words: object, **named: object) -> object:
            time.sleep(2)
            return call(*words, **named)

        return slowly

    scores = {"kidney_dice": 0.5, "tumor_dice": 0.5, "score": 0.5}
    for place, name, stands_in in (
        (training, "Loader", load),
        (training, "augmented", lambda *_: (None, None)),
        (Steps, "step", step),
        (Validator, "scores", lambda *_: scores),
    ):
        setattr(place, name, stands_in)
    for name in ("create_progress_artifact", "update_progress_artifact", "create_markdown_artifact", "check_cancelled"):
        setattr(watch, name, slow(getattr(watch, name)))


def _train(root: Path, cases: int, shape: int, settings: dict[str, int]) -> list[dict[str, float]]:
    from flows.ingest import ingest
    from flows.parameters import IngestParameters, PrepareParameters, SplitParameters, TrainParameters
    from flows.prepare import prepare
    from flows.split import split
    from flows.train import train
    from kits_core.network.config import TrainingConfig
    from kits_core.phantom.dataset import write_phantoms
    from kits_core.recipe import Recipe
    from tasks.watch import TrainingWatcher

    side = max(96, shape)  # voxels in a slice: a scan is not smaller than the recipe's grid
    write_phantoms(root, cases, 1, shape=(40, side, side), spacing_mm=(6.0, 345.6 / side, 345.6 / side))
    recipe = Recipe(shape=shape)
    ingest(IngestParameters(source=str(root), dataset="phantoms"))
    prepare(PrepareParameters(recipe=recipe))
    split(SplitParameters())

    ends: list[tuple[float, float]] = []
    told = TrainingWatcher.epoch

    def epoch(self: TrainingWatcher, number: int, values: Mapping[str, float]) -> None:
        ends.append((time.perf_counter(), values["step_seconds"]))
        told(self, number, values)

    with patch.object(TrainingWatcher, "epoch", epoch):
        train(TrainParameters(recipe=recipe, config=TrainingConfig.model_validate(settings)))
    rows = []
    for number, ((before, _), (after, steps)) in enumerate(pairwise(ends), start=2):
        seconds = after - before
        rows.append({"epoch": number, "seconds": seconds, "steps, s": steps, BESIDE: 100 * (1 - steps / seconds)})
    return rows


if __name__ == "__main__":
    main()
