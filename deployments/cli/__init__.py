"""The command line. Verbs import what they need when they run, so that `kits --help` answers at once."""

import sys

from deployments.cli.app import app
from deployments.cli.output import show_error

__all__ = ["main"]


def main() -> None:
    """Run `kits`. Exit status: 0 done, 1 failed, 2 wrong usage."""
    from deployments.cli import catalog, data, demo, model, predict, score, up  # noqa: F401 - each registers its verbs

    try:
        app()
    except Exception as error:  # noqa: BLE001 - the last stop before the user
        sys.exit(show_error(error))
