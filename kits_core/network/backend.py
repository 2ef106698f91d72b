"""Keras on its backend, imported in this one place, and the record of what a training ran on."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version


@contextmanager
def _without_chatter() -> Iterator[None]:
    """TensorFlow's libraries write lines about themselves to standard error as they load, past every setting."""
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - the null device is no path to care for
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


# Read once, as the backend loads; what the user has set stays.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with _without_chatter():
    import keras
    from keras import layers, ops

__all__ = ["environment", "keras", "layers", "ops", "uses_xla"]

_RECORDED = ("keras", "tensorflow", "tensorflow-cpu", "jax", "numpy", "scipy", "nibabel", "prefect", "kits-platform")


def uses_xla() -> bool:
    """Whether to compile with XLA: not under TensorFlow, where it was measured 6 times slower on a CPU."""
    return keras.backend.backend() != "tensorflow"


def environment() -> dict[str, str]:
    """Names and versions of what a training runs on, for its record."""
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": str(os.cpu_count()),
        "backend": keras.backend.backend(),
    }
    for name in _RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
