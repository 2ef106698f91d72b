"""What depends on the backend under Keras, and the record of what a training ran on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import keras

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
