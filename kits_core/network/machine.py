"""Where and in what precision a network runs, and what to do when it does not fit."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from kits_core.errors import KitsError
from kits_core.network.backend import find_gpus, is_out_of_memory, keras
from kits_core.network.config import TrainingConfig

_BFLOAT16_SINCE = (8, 0)
_POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


def choose_device(wanted: str) -> str:
    """`cpu` or `gpu` for the setting `auto`, `cpu` or `gpu`. Raises `KitsError` for a GPU that is not there."""
    there = bool(find_gpus())
    if wanted == "gpu" and not there:
        raise KitsError(
            f"device gpu: expected a graphics card that {keras.backend.backend()} can use, got none; install the extra "
            "gpu and a driver, or ask for the device auto or cpu"
        )
    return "gpu" if there and wanted != "cpu" else "cpu"


def choose_policy(precision: str, device: str, *, whole_batches: bool = True) -> str:
    """Keras's dtype policy: weights are always float32; `auto` computes in 16 bits on a GPU, bfloat16 where it can.

    Raises `KitsError` for 16 bits under TensorFlow on a CPU: it has no float16 pooling, and in TensorFlow 2.21 the
    gradient of a small bfloat16 convolution has values that are not finite. Float16 needs `whole_batches`: Keras's loss
    scaling skips a part whose gradients overflow, and from then on parts of different batches would be added up.
    """
    if device == "cpu":
        if precision in ("auto", "float32"):
            return "float32"
        if keras.backend.backend() == "tensorflow":
            raise KitsError(
                f"precision {precision}: expected float32 under TensorFlow on a CPU, whose 16-bit convolutions are not "
                "to be trusted; ask for the precision auto, or set KERAS_BACKEND=jax"
            )
    if precision == "auto":
        newer = all(card.capability >= _BFLOAT16_SINCE for card in find_gpus())
        precision = "bfloat16" if newer else "float16" if whole_batches else "float32"
    if precision == "float16" and not whole_batches:
        raise KitsError(
            "precision float16: expected whole batches in memory, got a micro_batch, with whose parts the scale of a "
            "float16 loss does not work; ask for the precision float32 or bfloat16, or for a smaller batch_size alone"
        )
    return _POLICIES[precision]


@contextmanager
def running_on(device: str, config: TrainingConfig) -> Iterator[None]:
    """Run the block on a device. Raises `KitsError` that says what to lower where memory runs out.

    Several graphics cards share each batch (Keras's `DataParallel`, under JAX; under TensorFlow the first one works).
    """
    place: Any = keras.device("cpu:0") if device == "cpu" and find_gpus() else nullcontext()
    try:
        with place, _shared_batches(device, config):
            yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        said = next(iter(str(error).splitlines()), type(error).__name__)
        lower = "filters or the shape"
        if config.cases_at_once > 1:
            lower = f"micro_batch (now {config.cases_at_once}): gradients add up to the batch of {config.batch_size}"
        raise KitsError(
            f"expected the training to fit into the memory of the {device}, got: {said[:200]}; lower {lower}"
        ) from error


@contextmanager
def _shared_batches(device: str, config: TrainingConfig) -> Iterator[None]:
    devices = keras.distribution.list_devices(device) if keras.backend.backend() == "jax" else []
    share = len(devices) > 1 and config.cases_at_once % len(devices) == 0
    before = keras.distribution.distribution()
    if share:
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)
