"""The command line. Verbs import what they need when they run, so that `kits --help` answers at once."""

import os
import sys

from deployments.cli.app import app
from deployments.cli.output import complain, show_error
from deployments.proxies import reach_loopback_directly

__all__ = ["main"]

_WINDOWS = (
    "kits: expected Linux or macOS, got Windows; install the Windows Subsystem for Linux (wsl --install), then install "
    "and run kits inside it"
)


def main() -> None:
    """Run `kits`. Exit status: 0 done, 1 failed, 2 wrong usage."""
    if sys.platform == "win32":  # before what imports fcntl, which Windows has not
        complain("error", _WINDOWS)
        sys.exit(1)
    reach_loopback_directly(os.environ)
    from deployments.cli import (  # noqa: F401 - each registers its verbs
        catalog,
        correct,
        data,
        demo,
        doctor,
        export,
        forget,
        model,
        plan,
        predict,
        records,
        reidentify,
        score,
        up,
    )

    try:
        app()
    except Exception as error:  # noqa: BLE001 - the last stop before the user
        sys.exit(show_error(error))
