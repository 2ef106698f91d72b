"""Facts about this machine, how the platform uses it, and what to mend: the content of `kits doctor`."""

import fcntl
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from db.settings import Settings
from kits_core.cpu import Cpu, this_cpu
from kits_core.source.http import redacted

_PROBE_TIMEOUT_S = 300.0
_READ_BYTES = 128 << 20
_LOW_DISK_BYTES, _LOW_MEMORY_BYTES = 5e9, 4e9
_SLOW_STEP_S = 3.0


@dataclass
class Findings:
    """`facts`: name and value, in the order of the screen. `problems`: each with its solution."""

    facts: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def examine(settings: Settings) -> Findings:
    """Check everything. It changes nothing, starts no server and makes no home. It takes half a minute."""
    found = Findings()
    _python(found)
    cpu = this_cpu()
    found.facts["cpu"] = str(cpu)
    found.facts["cores"] = os.cpu_count()
    cards = _graphics_cards(found)
    found.facts["graphics_cards"] = cards or ["none that nvidia-smi knows"]
    _memory(found)
    _home(found, settings.home)
    _catalog(found, settings)
    _prefect(found, settings)
    _network(found, cpu, cards)
    return found


def _python(found: Findings) -> None:
    found.facts["python"] = f"{platform.python_version()}, {sys.executable}"
    found.facts["system"] = platform.platform()
    there = {}
    for name in ("kits-platform", "tensorflow", "tensorflow-cpu", "keras", "jax", "prefect", "numpy"):
        try:
            there[name] = version(name)
        except PackageNotFoundError:
            continue
    found.facts["packages"] = there
    if {"tensorflow", "tensorflow-cpu"} <= there.keys():
        found.problems.append(
            "both tensorflow and tensorflow-cpu are installed, and overwrite each other's files; run make clean, then "
            "make demo"
        )
    if not {"tensorflow", "tensorflow-cpu"} & there.keys() and os.environ.get("KERAS_BACKEND", "tensorflow") != "jax":
        found.problems.append("TensorFlow is not installed; run make demo, or pip install -e '.[cpu]'")


def _graphics_cards(found: Findings) -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603 - no words of others
    except (OSError, subprocess.TimeoutExpired) as error:
        found.problems.append(f"nvidia-smi: expected a list of graphics cards, got: {error}; look at the driver")
        return []
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    return ["{}, {}, driver {}".format(*(part.strip() for part in line.split(",", 2))) for line in lines if line]


def _memory(found: Findings) -> None:
    memory = psutil.virtual_memory()
    found.facts["memory"] = f"{memory.available / 1e9:.1f} GB free of {memory.total / 1e9:.1f} GB"
    if memory.available < _LOW_MEMORY_BYTES:
        found.problems.append(
            f"{memory.available / 1e9:.1f} GB of memory are free, and predicting the largest KiTS23 scan takes 2.2 GB, "
            "a training more; end other programs, or use --workers 1"
        )


def _home(found: Findings, home: Path) -> None:
    found.facts["home"] = str(home) if home.is_dir() else f"{home} (made by the first command)"
    there = next(folder for folder in (home, *home.parents) if folder.is_dir())
    disk = shutil.disk_usage(there)
    found.facts["disk"] = f"{disk.free / 1e9:.1f} GB free of {disk.total / 1e9:.1f} GB"
    if disk.free < _LOW_DISK_BYTES:
        found.problems.append(
            f"{there}: {disk.free / 1e9:.1f} GB are free, and the images of KiTS23 alone take 50 GB once "
            "converted; make room, or move the home with KITS_HOME"
        )
    if not os.access(there, os.W_OK):
        found.problems.append(f"{there}: it cannot be written to; change its permissions, or move the home: KITS_HOME")
        return
    if disk.free < 2 * _READ_BYTES:
        return
    try:
        found.facts["reading_mb_per_s"] = round(_read_speed(there) / 1e6)
    except OSError as error:
        found.problems.append(f"{there}: expected a file that can be locked, written and read there, got: {error}")


def _read_speed(folder: Path) -> float:
    """Read speed in bytes a second of a file on the disk, not in memory where the system can drop it from there."""
    block = os.urandom(1 << 20)
    with tempfile.TemporaryFile(dir=folder) as file:  # it has no name, so nothing is left if this is killed
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # every command needs this; some network disks refuse it
        for _ in range(_READ_BYTES // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        elif hasattr(fcntl, "F_NOCACHE"):
            fcntl.fcntl(file, fcntl.F_NOCACHE, 1)
        file.seek(0)
        start = time.perf_counter()
        while file.read(1 << 20):
            continue
        return _READ_BYTES / (time.perf_counter() - start)


def _catalog(found: Findings, settings: Settings) -> None:
    from db.engine import CatalogUnreachableError, catalog_version, shown_address  # noqa: PLC0415 - half a second
    from db.migrate import HEAD  # noqa: PLC0415

    found.facts["catalog"] = shown_address(settings.catalog_url)
    try:
        there = catalog_version(settings)
    except CatalogUnreachableError as error:
        found.facts["catalog_version"] = "not known"
        found.problems.append(str(error))
        return
    if there is None:
        found.facts["catalog_version"] = f"none yet; the first command makes version {HEAD}"
    elif there < HEAD:
        found.facts["catalog_version"] = f"{there}; the next command upgrades it to {HEAD}"
    else:
        found.facts["catalog_version"] = there
    if there is not None and there > HEAD:
        found.problems.append(
            f"the catalog is at version {there}, and this installation knows {HEAD} at most; update this installation"
        )


def _prefect(found: Findings, settings: Settings) -> None:
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - two seconds

    from deployments.home_note import prefect_home, read_note  # noqa: PLC0415
    from deployments.home_server import answers, is_held  # noqa: PLC0415

    if configured := PREFECT_API_URL.value():
        shown = redacted(configured)
        found.facts["prefect_server"] = f"{shown}, as Prefect's own settings say"
        if not answers(configured):
            found.problems.append(
                f"the Prefect server at {shown}: expected an answer, got none; start it, or unset PREFECT_API_URL "
                "(prefect config view shows where it is set), and kits starts one of its own"
            )
        return
    folder = prefect_home(settings.home)
    for name, whose in (("up", "of kits up"), ("server", "of this home, which ends by itself")):
        if not is_held(folder / f"{name}.lock"):
            continue
        note = read_note(folder / f"{name}.json")
        found.facts["prefect_server"] = f"{note.api_url if note else 'it starts just now'}, {whose}"
        if note is not None and not answers(note.api_url):
            found.problems.append(
                f"the Prefect server at {note.api_url}: expected an answer, got none; end process {note.pid}, and the "
                f"next command starts another; its log is {folder / 'server.log'}"
            )
        return
    found.facts["prefect_server"] = "none now; the next command starts one for this home"


def _network(found: Findings, cpu: Cpu, cards: list[str]) -> None:
    environment = os.environ | {"ONEDNN_VERBOSE": "1"}
    command = [sys.executable, "-m", "kits_core.network.probe"]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, env=environment, capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        found.problems.append(f"two training steps of the demo's size took over {_PROBE_TIMEOUT_S:.0f} s; {_SLOW}")
        return
    if done.returncode != 0:
        found.problems.append(_why_it_failed(done, cpu))
        return
    *lines, result = done.stdout.strip().splitlines()
    probed = json.loads(result)
    isa = next((line.rpartition("isa:")[2] for line in lines if "info,cpu,isa:" in line), "")
    found.facts["backend"] = f"{probed['backend']}, on the {probed['device']}, {probed['policy']}"
    found.facts["cpu_kernels"] = (
        f"{probed['cpu_kernels']} ({isa})" if isa and "oneDNN" in probed["cpu_kernels"] else probed["cpu_kernels"]
    )
    found.facts["backend_sees"] = probed["gpus"] or ["no graphics card"]
    found.facts["training_step_s"] = round(probed["step_seconds"], 3)
    found.facts["first_step_s"] = round(probed["first_step_seconds"], 3)
    if probed["cpu_kernels"] == "Eigen":
        found.problems.append(
            "TensorFlow computes without oneDNN, which is many times slower; unset TF_ENABLE_ONEDNN_OPTS"
            if os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0"
            else "this build of TensorFlow has no oneDNN, and its convolutions are slow; try KERAS_BACKEND=jax"
        )
    elif probed["step_seconds"] > _SLOW_STEP_S and probed["device"] == "cpu":
        found.problems.append(f"a training step of the demo's size takes {probed['step_seconds']:.1f} s; {_SLOW}")
    if cards and not probed["gpus"]:
        found.problems.append(
            f"{probed['backend']} sees none of the machine's graphics cards; run make EXTRA=gpu demo, which installs "
            "what they need (requirements-gpu.lock), or look for CUDA_VISIBLE_DEVICES"
        )


_SLOW = "see whether other programs keep the CPU busy, then run kits doctor again"


def _why_it_failed(done: "subprocess.CompletedProcess[str]", cpu: Cpu) -> str:
    if done.returncode == -signal.SIGILL:
        return (
            f"TensorFlow needs AVX, which this CPU ({cpu}) or its virtual machine does not have; use another machine, "
            "or let the virtual machine pass the host's CPU through"
        )
    last = next(reversed(done.stderr.strip().splitlines()), "nothing on standard error")
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
    return f"the network's backend: expected a training step, got {how}: {last}; run make clean, then make demo"
