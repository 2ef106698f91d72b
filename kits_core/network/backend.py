"""The only place that imports Keras and its backend, and what they run on."""

import gc
import os
import resource
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.abc import MetaPathFinder
from typing import Any

from platformdirs import user_cache_path

_NOT_NEEDED = frozenset({"IPython", "matplotlib", "pandas", "pyarrow", "sklearn"})
"""What TensorFlow and Keras load where it is installed, for parts of theirs that are not used here."""


@contextmanager
def _without_chatter() -> Iterator[None]:
    """TensorFlow's libraries write lines to standard error while they load, and no setting stops them."""
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - the null device is no path to care for
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


class _Refusing(MetaPathFinder):
    """Says that a package is not there, to the thread that made it alone: others may be loading it just now."""

    def __init__(self, packages: frozenset[str]) -> None:
        self._packages, self._thread = packages, threading.get_ident()

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> None:  # noqa: ARG002
        """Raises `ModuleNotFoundError` for one of the packages; leaves all others to the usual finders."""
        if fullname in self._packages and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is left out while the backend loads", name=fullname)


@contextmanager
def _quickly() -> Iterator[None]:
    """Load what is used, and let the garbage collector wait: it looks at all modules again and again, and frees none.

    TensorFlow loads JAX for its converters.
    """
    collecting = gc.isenabled()
    jax = set() if os.environ["KERAS_BACKEND"] == "jax" else {"jax"}
    refusing = _Refusing(_NOT_NEEDED | jax)
    sys.meta_path.insert(0, refusing)
    gc.disable()
    try:
        yield
    finally:
        sys.meta_path.remove(refusing)
        if collecting:
            gc.enable()


# Read once, while the backend loads. Values that the user has set stay.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow leaves oneDNN off on a CPU without VNNI, AMX or AVX512-BF16 (Zen 2 and 3, most of Intel's before 2019), and
# takes Eigen's convolutions: on an AMD EPYC with AVX2 the demo's training step then took 22 s instead of 0.4 s.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
with _without_chatter(), _quickly():
    import keras
    from keras import layers, ops

__all__ = [
    "Gpu",
    "compiled",
    "cpu_kernels",
    "find_gpus",
    "is_out_of_memory",
    "keras",
    "layers",
    "normal_noise",
    "ops",
    "peak_memory_bytes",
    "uses_xla",
]


@dataclass(frozen=True)
class Gpu:
    """A graphics card that the backend can use. `capability`: CUDA's, as (8, 0)."""

    name: str
    capability: tuple[int, int]


def uses_xla() -> bool:
    """Whether to compile with XLA: not under TensorFlow, where it was measured 6 times slower on a CPU."""
    return keras.backend.backend() != "tensorflow"


def compiled(work: Callable[..., Any]) -> Callable[..., Any]:
    """A function of tensors, compiled by XLA under every backend: for work that is no convolution."""
    if keras.backend.backend() == "jax":
        import jax  # noqa: PLC0415 - only where it is the backend

        return jax.jit(work)
    import tensorflow as tf  # noqa: PLC0415

    # TensorFlow for Apple's graphics cards has no XLA.
    xla = not (sys.platform == "darwin" and tf.config.list_physical_devices("GPU"))
    return tf.function(work, jit_compile=xla, autograph=False)


@cache
def normal_noise(shape: tuple[int, ...]) -> Callable[[Any], Any]:
    """A function that makes standard normal values, float32 `(seeds, *shape)`, from int32 `(seeds, 2)`, not below 0.

    Each value depends only on its seed.
    """
    if keras.backend.backend() == "jax":
        import jax  # noqa: PLC0415 - only where it is the backend

        def one(seed: Any) -> Any:
            return jax.random.normal(jax.random.wrap_key_data(ops.cast(seed, "uint32"), impl="threefry2x32"), shape)

        return jax.jit(jax.vmap(one))
    import tensorflow as tf  # noqa: PLC0415

    # Not by XLA, whose generator of random numbers took 36 times as long on a CPU.
    return tf.function(
        lambda seeds: tf.stack([tf.random.stateless_normal(shape, seed) for seed in tf.unstack(seeds)]), autograph=False
    )


def cpu_kernels() -> str:
    """What computes convolutions on a CPU: `oneDNN`, `XLA`, or `Eigen`, which is many times slower."""
    if uses_xla():
        return "XLA"
    from tensorflow.python.util import _pywrap_util_port as build  # noqa: PLC0415 - no public name says it

    if not build.IsMklEnabled():
        return "Eigen"
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    return f"oneDNN, at most {limit}" if limit else "oneDNN"


def find_gpus() -> list[Gpu]:
    """The graphics cards that the backend sees."""
    if keras.backend.backend() == "jax":
        import jax  # noqa: PLC0415 - only where it is the backend

        cards = [device for device in jax.devices() if device.platform == "gpu"]
        return [Gpu(c.device_kind, _capability(tuple(map(int, c.compute_capability.split("."))))) for c in cards]
    import tensorflow as tf  # noqa: PLC0415

    facts = [tf.config.experimental.get_device_details(card) for card in tf.config.list_physical_devices("GPU")]
    return [Gpu(fact.get("device_name", "GPU"), _capability(fact.get("compute_capability"))) for fact in facts]


def peak_memory_bytes() -> int:
    """The most memory that was in use: of the first graphics card where there is one, of this process otherwise."""
    if find_gpus():
        if keras.backend.backend() == "jax":
            import jax  # noqa: PLC0415

            return int(jax.devices()[0].memory_stats()["peak_bytes_in_use"])
        import tensorflow as tf  # noqa: PLC0415

        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, in the words of either backend."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"
        or "RESOURCE_EXHAUSTED" in str(error)
    )


def keep_compiled() -> None:
    """Let JAX keep what it compiles for a graphics card in the user's own cache, which no one else can write to.

    Compiling the reference recipe's step took 80 s on an H200, and 2 s with what an earlier process had kept. A folder
    of the user's choice (`JAX_COMPILATION_CACHE_DIR`) stays; without a card, and under TensorFlow, nothing is kept.
    """
    if keras.backend.backend() != "jax" or "JAX_COMPILATION_CACHE_DIR" in os.environ or not find_gpus():
        return
    import jax  # noqa: PLC0415 - only where it is the backend

    folder = user_cache_path("kits-platform") / "compiled"
    with suppress(OSError):  # a user without a writable home compiles each time
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(folder))  # type: ignore[no-untyped-call,unused-ignore]


def _capability(found: tuple[int, ...] | None) -> tuple[int, int]:
    return (found[0], found[1]) if found else (0, 0)


keep_compiled()
