"""The network, its losses and an epoch of training under JAX, in a process of their own: Keras picks a backend once."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CHOSEN = (
    "test_segmentation.py",
    "test_initial.py",
    "test_upsampled.py",
    "losses",
    "architectures/test_architectures.py::test_every_architecture_can_be_saved_and_predicts_the_same[plain_unet]",
    "test_augment.py",
    "test_training.py::test_it_learns_and_keeps_the_best_epoch_and_not_the_last",
    "test_training.py::test_every_setting_learns[bfloat16]",
)
# Compiling takes longer than the few steps that follow.
QUICKLY_COMPILED = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


_ONE_OR_TWO = """
import sys
import numpy as np
from pathlib import Path
from kits_core.network.config import TrainingConfig
from kits_core.network.machine import running_on
from kits_core.network.steps import steps_of
from kits_core.network.training import build_model
from kits_core.recipe import Recipe
from kits_core.network.backend import keras, ops

config = TrainingConfig(batch_size=4, filters=4, learning_rate=1e-3)
rng = np.random.default_rng(0)
labels = np.zeros((4, 32, 32, 32, 1), np.uint8)
labels[:, 8:24, 8:24, 8:24] = 1
images = (labels + rng.normal(0, 0.1, labels.shape)).astype(np.float32)
with running_on("cpu", config):
    model = build_model(config, Recipe(shape=32))
    steps = steps_of(model, config)
    steps.begin()
    images, labels = ops.convert_to_tensor(images), ops.convert_to_tensor(labels)
    losses = [float(steps.step(images, labels)[0]) for _ in range(4)]
    steps.end()
    kernel = model.get_layer("stem_conv").kernel.value
print(len(keras.distribution.list_devices()), len(kernel.devices()), *losses)
"""


@pytest.fixture(scope="module")
def outputs():
    """What each process printed; they run side by side, since compiling takes one core each."""
    if os.environ.get("KERAS_BACKEND") == "jax":
        pytest.skip("this is that process")
    pytest.importorskip("jax", reason="JAX is not installed")
    chosen = [str(HERE / name) for name in CHOSEN]
    running = {
        "tests": _under_jax("-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen),
        1: _under_jax("-c", _ONE_OR_TWO, flags="--xla_force_host_platform_device_count=1"),
        2: _under_jax("-c", _ONE_OR_TWO, flags="--xla_force_host_platform_device_count=2"),
    }
    told = {name: process.communicate() for name, process in running.items()}
    for name, process in running.items():
        assert process.returncode == 0, told[name]
    return {name: out for name, (out, _) in told.items()}


def test_network_losses_and_an_epoch_of_training_pass_under_jax(outputs):
    assert re.search(r"\d\d passed", outputs["tests"])
    assert "failed" not in outputs["tests"]


def test_two_devices_that_share_the_batches_learn_as_one(outputs):
    curves = {}
    for devices in (1, 2):
        found, used, *losses = outputs[devices].split()
        assert (int(found), int(used)) == (devices, devices)
        curves[devices] = [float(loss) for loss in losses]
    assert curves[2] == pytest.approx(curves[1], abs=5e-5)
    assert curves[1][-1] < curves[1][0]


def _under_jax(*words, flags=""):
    environment = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": f"{QUICKLY_COMPILED} {flags}"}
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
