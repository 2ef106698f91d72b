"""The command line. Verbs import what they need when they run, so that `kits --help` answers at once."""

import gc
import os
import sys
from importlib import import_module

from deployments.cli.app import app
from deployments.cli.options import make_options
from deployments.cli.output import complain, show_error
from deployments.proxies import reach_loopback_directly

__all__ = ["EXIT_STATUS", "VERBS", "main"]

EXIT_STATUS = {
    0: "done",
    1: "failed, or a part of it was refused; what and why was printed",
    2: "wrong usage: an option that does not exist, or a value that is not allowed",
}
VERBS = (
    "catalog", "correct", "data", "demo", "doctor", "export", "forget", "model", "plan", "predict", "records",
    "reidentify", "score", "up",
)  # fmt: skip
"""Modules of this package that register verbs."""

_WINDOWS = (
    "kits: expected Linux or macOS, got Windows; install the Windows Subsystem for Linux (wsl --install), then install "
    "and run kits inside it"
)


def main() -> None:
    """Run `kits`, and exit with one of `EXIT_STATUS`."""
    if sys.platform == "win32":  # before any import of fcntl, which Windows does not have
        complain("error", _WINDOWS)
        sys.exit(1)
    gc.set_threshold(10_000)  # as in `flows`
    reach_loopback_directly(os.environ)
    for verb in VERBS:
        import_module(f"deployments.cli.{verb}")
    make_options(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))

    try:
        app()
    except Exception as error:  # noqa: BLE001 - the last stop before the user
        sys.exit(show_error(error))
