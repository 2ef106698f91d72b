"""What a training ran on: machine, packages, driver, revision of this code."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kits_core.cpu import this_cpu
from kits_core.network.backend import cpu_kernels, find_gpus, keras

_PACKAGES = ("keras", "tensorflow", "tensorflow-cpu", "jax", "numpy", "scipy", "nibabel", "prefect", "kits-platform")


def environment() -> dict[str, str]:
    """Names and versions, for the run's record. `revision`: the commit of this code, where it lies in a checkout."""
    found = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": str(this_cpu()),
        "cores": str(os.cpu_count()),
        "cpu_kernels": cpu_kernels(),
        "backend": keras.backend.backend(),
        "gpus": ", ".join(card.name for card in find_gpus()) or "none",
        "driver": _first_line("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "revision": _revision(),
    }
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {name: value for name, value in found.items() if value}


def _revision() -> str:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    commit = _first_line("git", "-C", str(root), "rev-parse", "HEAD")
    changed = _first_line("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return f"{commit} with changes" if commit and changed else commit


def _first_line(program: str, *arguments: str) -> str:
    path = shutil.which(program)
    if path is None:
        return ""
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=20, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else ""
